using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Cluster;

public sealed class KnownListOnSqlite(SqliteCluster cluster) : KnownListTests(cluster), IClassFixture<SqliteCluster>;

public sealed class KnownListOnSqliteStock(SqliteStockCluster cluster) : KnownListTests(cluster), IClassFixture<SqliteStockCluster>;

public sealed class KnownListOnPostgreSql(PostgreSqlCluster cluster) : KnownListTests(cluster), IClassFixture<PostgreSqlCluster>;

public sealed class KnownListOnPostgreSqlStock(PostgreSqlStockCluster cluster) : KnownListTests(cluster), IClassFixture<PostgreSqlStockCluster>;

public sealed class KnownListOnSqlServer(SqlServerCluster cluster) : KnownListTests(cluster), IClassFixture<SqlServerCluster>;

public sealed class KnownListOnSqlServerStock(SqlServerStockCluster cluster) : KnownListTests(cluster), IClassFixture<SqlServerStockCluster>;

// A user's grain remembers what the operations on its list said last. It must not remember that for longer than it is true.
public abstract class KnownListTests(ClusterFixture cluster)
{
    private static readonly TimeSpan Trust = TimeSpan.FromSeconds(5);

    private readonly string user = Journey.NewUser();
    private readonly string first = Journey.NewId();
    private readonly string second = Journey.NewId();

    private IOperationGrain First => cluster.OneSilo.GetOperation(Journey.Customer, first);

    private IOperationGrain Second => cluster.OneSilo.GetOperation(Journey.Customer, second);

    [SkippableFact]
    public async Task A_list_that_is_known_asks_no_operation_for_five_seconds()
    {
        await CreateBothAsync();
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        await cluster.DeactivateAsync(First);
        var reads = cluster.Storage.ReadsOf(First);

        cluster.Clock.Advance(Trust - TimeSpan.FromTicks(1));
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        Assert.Equal(reads, cluster.Storage.ReadsOf(First));

        cluster.Clock.Advance(TimeSpan.FromTicks(1));
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        Assert.Equal(reads + 1, cluster.Storage.ReadsOf(First));
    }

    // A decision that was answered takes its operation off the record. Of one that nobody was told of the list learns in no other way.
    [SkippableFact]
    public async Task A_decision_that_is_durable_and_was_never_answered_is_on_no_list_after_it_was_seen()
    {
        await CreateBothAsync();
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        cluster.Storage.FailNextWrite(First, FailedWrite.AfterItsCommit);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.DecideAsync(user, first));

        Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(first))!.Status);
        Assert.Equal([second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_list_that_is_asked_while_such_a_decision_is_written_is_not_remembered()
    {
        await CreateBothAsync();
        using var held = cluster.Storage.HoldNextAnswer(First);
        var decision = cluster.OneSilo.DecideAsync(user, first);
        await held.Reached;

        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        held.Fail();
        await Assert.ThrowsAnyAsync<Exception>(() => decision);

        Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(first))!.Status);
        Assert.Equal([second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_list_whose_questions_were_on_their_way_when_such_a_decision_came_is_not_remembered()
    {
        await CreateBothAsync();
        await cluster.OneSilo.ReadAsync(first);
        await cluster.DeactivateAsync(Second);
        using var held = cluster.Storage.HoldNextRead(Second);
        var list = cluster.OtherSilo.ListAsync(user);
        await held.Reached;
        cluster.Storage.FailNextWrite(First, FailedWrite.AfterItsCommit);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.DecideAsync(user, first));
        held.Dispose();
        await list;

        Assert.Equal([second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task An_operation_that_is_created_or_cancelled_after_a_list_is_on_the_next_one_or_not()
    {
        await CreateBothAsync();
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        var third = Journey.NewId();

        await cluster.OtherSilo.CreateAsync(user, third);
        Assert.Equal([first, second, third], await cluster.OneSilo.ListAsync(user));

        Assert.Equal(OperationOutcome.Done, await Second.CancelAsync(null));
        Assert.Equal([first, third], await cluster.OtherSilo.ListAsync(user));
    }

    private async Task CreateBothAsync()
    {
        await cluster.OneSilo.CreateAsync(user, first);
        await cluster.OneSilo.CreateAsync(user, second);
    }
}
