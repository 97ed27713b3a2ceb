using System.Threading.Channels;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection(nameof(SqliteCluster))]
public sealed class WatchesOnSqlite(SqliteCluster cluster) : WatchTests(cluster);

[Collection(nameof(SqliteStockCluster))]
public sealed class WatchesOnSqliteStock(SqliteStockCluster cluster) : WatchTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class WatchesOnPostgreSql(PostgreSqlCluster cluster) : WatchTests(cluster);

[Collection(nameof(PostgreSqlStockCluster))]
public sealed class WatchesOnPostgreSqlStock(PostgreSqlStockCluster cluster) : WatchTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class WatchesOnSqlServer(SqlServerCluster cluster) : WatchTests(cluster);

[Collection(nameof(SqlServerStockCluster))]
public sealed class WatchesOnSqlServerStock(SqlServerStockCluster cluster) : WatchTests(cluster);

// What grains tell the front ends that watch them, from whichever silo.
public abstract class WatchTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    private IOperationGrain Operation => cluster.OneSilo.GetOperation(new(Journey.Customer, id));

    private IUserGrain User => cluster.OneSilo.GetUser(new(Journey.Customer, user));

    [SkippableFact]
    public async Task An_operation_tells_of_its_decision_once_it_is_durable()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        var watch = await WatchAsync(Operation);

        using (var held = cluster.Storage.HoldNextWrite(Operation))
        {
            var decision = cluster.OneSilo.DecideAsync(user, id);
            await held.Reached;
            Assert.False(watch.HasHeard);
            held.Dispose();
            Assert.Equal(OperationOutcome.Done, await decision);
        }

        Assert.Equal(Operation.GetGrainId(), await watch.HearsAsync());
    }

    [SkippableTheory]
    [InlineData(FailedWrite.BeforeItsCommit)]
    [InlineData(FailedWrite.AfterItsCommit)]
    public async Task A_failed_decision_ends_the_activation_and_those_who_watch_are_told_to_ask_again(FailedWrite moment)
    {
        await cluster.OneSilo.CreateAsync(user, id);
        var watch = await WatchAsync(Operation);
        cluster.Storage.FailNextWrite(Operation, moment);

        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.DecideAsync(user, id));

        Assert.Equal(Operation.GetGrainId(), await watch.HearsAsync());
        watch = await WatchAsync(Operation);
        Assert.Equal(moment is FailedWrite.AfterItsCommit ? OperationStatus.Approved : OperationStatus.Pending, (await Operation.GetAsync())!.Status);
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.DecideAsync(user, id));
        await cluster.DeactivateAsync(Operation);
        Assert.Equal(Operation.GetGrainId(), await watch.HearsAsync());
    }

    [SkippableFact]
    public async Task A_user_tells_of_an_operation_that_comes_and_what_is_listed_then_holds_it()
    {
        var watch = await WatchAsync(User);

        await cluster.OtherSilo.CreateAsync(user, id);

        Assert.Equal(User.GetGrainId(), await watch.HearsAsync());
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_user_tells_of_an_operation_that_is_decided_and_of_one_that_is_cancelled()
    {
        var other = Journey.NewId();
        await cluster.OneSilo.CreateAsync(user, id);
        await cluster.OneSilo.CreateAsync(user, other);

        var watch = await WatchAsync(User);
        await cluster.OtherSilo.DecideAsync(user, id);
        Assert.Equal(User.GetGrainId(), await watch.HearsAsync());

        watch = await WatchAsync(User);
        await cluster.OtherSilo.GetOperation(new(Journey.Customer, other)).CancelAsync(null);
        Assert.Equal(User.GetGrainId(), await watch.HearsAsync());
        Assert.Empty(await cluster.OneSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_user_that_moves_tells_those_who_watch_to_ask_again_and_is_watched_on_where_it_lives_now()
    {
        var first = Journey.NewId();
        await cluster.OneSilo.CreateAsync(user, first);
        var watch = await WatchAsync(User);
        var left = cluster.Cluster.WaitForDeactivationAsync(User);

        cluster.Clock.Advance(TimeSpan.FromSeconds(6));
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => cluster.OtherSilo.ListAsync(user))), list => Assert.Equal([first], list));
        await left.WaitAsync(ClusterFixture.Patience);

        Assert.Equal(1, cluster.HomeOf(User));
        Assert.Equal(User.GetGrainId(), await watch.HearsAsync());
        watch = await WatchAsync(User);
        await cluster.OneSilo.CreateAsync(user, id);
        Assert.Equal(User.GetGrainId(), await watch.HearsAsync());
        Assert.Equal([first, id], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_user_hears_of_an_end_that_a_read_finds_first()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
        await cluster.RewriteAsync<OperationState>(Operation, OperationState.Name, state => state.Cancel(null, cluster.Clock.GetUtcNow()).Next);
        await cluster.DeactivateAsync(Operation);
        var watch = await WatchAsync(User);

        Assert.Equal(OperationStatus.Cancelled, (await Operation.GetAsync())!.Status);

        Assert.Equal(User.GetGrainId(), await watch.HearsAsync());
        Assert.Empty(await cluster.OneSilo.ListAsync(user));
    }

    // From the silo that does not hold the grain, or does: both ways are taken in the course of the tests.
    private async Task<Observer> WatchAsync(IAddressable grain)
    {
        var observer = new Observer();
        var reference = cluster.OtherSilo.CreateObjectReference<IChangeObserver>(observer);
        await cluster.OtherSilo.GetGrain<IWatchedGrain>(grain.GetGrainId()).WatchAsync(reference);
        return observer;
    }

    private sealed class Observer : IChangeObserver
    {
        private readonly Channel<GrainId> heard = Channel.CreateUnbounded<GrainId>();

        public bool HasHeard => heard.Reader.Count > 0;

        public async Task<GrainId> HearsAsync() => await heard.Reader.ReadAsync().AsTask().WaitAsync(ClusterFixture.Patience);

        public Task ChangedAsync(GrainId grain) => heard.Writer.WriteAsync(grain).AsTask();
    }
}
