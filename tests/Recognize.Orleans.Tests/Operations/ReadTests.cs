using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class ReadsOnSqlite(SqliteCluster cluster) : ReadTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class ReadsOnPostgreSql(PostgreSqlCluster cluster) : ReadTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class ReadsOnSqlServer(SqlServerCluster cluster) : ReadTests(cluster);

// What a grain knows while its row is read: reads interleave with everything else.
public abstract class ReadTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    private IOperationGrain Operation => cluster.OneSilo.GetOperation(new(Journey.Customer, id));

    [SkippableFact]
    public async Task Calls_that_come_while_the_row_is_read_share_the_read()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        await cluster.DeactivateAsync(Operation);
        var reads = cluster.Storage.ReadsOf(Operation);
        using var held = cluster.Storage.HoldNextRead(Operation);
        var first = cluster.OneSilo.ReadAsync(id);
        await held.Reached;
        var others = Enumerable.Range(0, 16).Select(number => (number % 2 == 0 ? cluster.OneSilo : cluster.OtherSilo).ReadAsync(id)).ToList();

        held.Dispose();

        Assert.All(await Task.WhenAll([first, .. others]).WaitAsync(ClusterFixture.Patience), Assert.NotNull);
        Assert.Equal(reads + 1, cluster.Storage.ReadsOf(Operation));
    }

    [SkippableFact]
    public async Task A_read_that_began_too_early_hides_nothing_from_those_who_ask_after_the_create()
    {
        using var held = cluster.Storage.HoldNextRead(Operation);
        var early = cluster.OneSilo.ReadAsync(id);
        await held.Reached;
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, id).WaitAsync(ClusterFixture.Patience));
        var late = Enumerable.Range(0, 4).Select(number => (number % 2 == 0 ? cluster.OneSilo : cluster.OtherSilo).ReadAsync(id)).ToList();
        var list = cluster.OtherSilo.ListAsync(user);

        held.Dispose();

        Assert.All(await Task.WhenAll(late).WaitAsync(ClusterFixture.Patience), operation => Assert.Equal(user, operation!.UserId));
        Assert.Equal([id], await list.WaitAsync(ClusterFixture.Patience));
        await early;
    }

    [SkippableFact]
    public async Task A_read_that_began_too_early_does_not_make_a_create_that_is_sent_again_a_duplicate()
    {
        using var held = cluster.Storage.HoldNextRead(Operation);
        var early = cluster.OneSilo.ReadAsync(id);
        await held.Reached;
        await cluster.RewriteAsync<OperationState>(Operation, "operation", _ => OperationState.Create(new(Journey.Customer, user), Journey.RequestOf(id, "first"), 1_000_000_008, "node-9", cluster.Clock.GetUtcNow()));
        var (again, other) = (cluster.OneSilo.CreateAsync(user, id, attempt: "first"), cluster.OtherSilo.CreateAsync(Journey.NewUser(), id));

        held.Dispose();

        Assert.Equal(
            (OperationOutcome.Done, OperationOutcome.Duplicate),
            (await again.WaitAsync(ClusterFixture.Patience), await other.WaitAsync(ClusterFixture.Patience)));
        Assert.Equal("node-9", (await cluster.OtherSilo.ReadAsync(id))!.NodeId);
        await early;
    }
}
