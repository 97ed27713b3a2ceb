using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class NothingOnSqlite(SqliteCluster cluster) : NothingTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class NothingOnPostgreSql(PostgreSqlCluster cluster) : NothingTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class NothingOnSqlServer(SqlServerCluster cluster) : NothingTests(cluster);

// Whoever asks about ids that do not exist fills no memory with them.
public abstract class NothingTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    private IOperationGrain Operation => cluster.OneSilo.GetOperation(new(Journey.Customer, id));

    private IUserGrain User => cluster.OneSilo.GetUser(new(Journey.Customer, user));

    [SkippableFact]
    public async Task An_operation_that_does_not_exist_is_dropped_at_once_whatever_it_was_asked()
    {
        Assert.Null(await cluster.OneSilo.ReadAsync(id));
        await cluster.GoneAsync(Operation);

        Assert.Equal(OperationOutcome.NotFound, await cluster.OtherSilo.DecideAsync(user, id));
        await cluster.GoneAsync(Operation);

        Assert.Equal(OperationOutcome.NotFound, await Operation.CancelAsync(null));
        await cluster.GoneAsync(Operation);
    }

    [SkippableFact]
    public async Task A_user_whom_nobody_has_asked_anything_is_dropped_at_once()
    {
        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        await cluster.GoneAsync(User);
    }

    [SkippableFact]
    public async Task A_user_who_has_answered_everything_before_is_dropped_at_once()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        await cluster.OneSilo.DecideAsync(user, id);
        await cluster.DeactivateAsync(User);

        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        await cluster.GoneAsync(User);
    }

    // Else it would tell the watcher that it leaves, which would ask again, and so on.
    [SkippableFact]
    public async Task What_somebody_waits_for_stays_although_there_is_nothing()
    {
        await cluster.OneSilo.KeepAsync(User);
        await cluster.OneSilo.KeepAsync(Operation);

        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        Assert.Null(await cluster.OneSilo.ReadAsync(id));
        Assert.Null(await cluster.OneSilo.ReadAsync(id));

        Assert.True(await cluster.IsActiveAsync(User));
        Assert.True(await cluster.IsActiveAsync(Operation));
    }
}
