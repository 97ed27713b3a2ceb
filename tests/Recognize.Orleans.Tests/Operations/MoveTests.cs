using System.Collections.Concurrent;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class MovesOnSqlite(SqliteCluster cluster) : MoveTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class MovesOnPostgreSql(PostgreSqlCluster cluster) : MoveTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class MovesOnSqlServer(SqlServerCluster cluster) : MoveTests(cluster);

// A user lives on the silo that asks, also when that changes.
public abstract class MoveTests(ClusterFixture cluster)
{
    // More calls in a row than it takes, and a longer time.
    private const int ManyCalls = 20;
    private static readonly TimeSpan LongTime = TimeSpan.FromSeconds(6);

    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    private IUserGrain User => cluster.OneSilo.GetUser(new(Journey.Customer, user));

    private IOperationGrain Operation => cluster.OneSilo.GetOperation(new(Journey.Customer, id));

    [SkippableFact]
    public async Task A_user_lives_on_the_silo_that_asks_first()
    {
        var other = Journey.NewUser();
        await cluster.OneSilo.CreateAsync(user, id);
        await cluster.OtherSilo.CreateAsync(other, Journey.NewId());

        Assert.Equal(0, cluster.HomeOf(User));
        Assert.Equal(1, cluster.HomeOf(cluster.OneSilo.GetUser(new(Journey.Customer, other))));
    }

    [SkippableFact]
    public async Task A_user_whose_calls_all_come_from_another_silo_moves_there_and_back()
    {
        await cluster.OneSilo.CreateAsync(user, id);

        await AskManyTimesAsync(cluster.OtherSilo);
        Assert.Equal(1, cluster.HomeOf(User));
        Assert.Equal([id], await cluster.OtherSilo.ListAsync(user));

        await AskManyTimesAsync(cluster.OneSilo);
        Assert.Equal(0, cluster.HomeOf(User));
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
    }

    [SkippableTheory]
    [InlineData(1)]
    [InlineData(7)]
    public async Task A_user_whom_its_own_silo_asks_now_and_then_stays(int othersCalls)
    {
        await cluster.OneSilo.CreateAsync(user, id);
        var here = cluster.Cluster.WaitForDeactivationAsync(User);

        await InOrder.ForEachAsync(Enumerable.Range(0, ManyCalls * (othersCalls + 1)), async call =>
        {
            cluster.Clock.Advance(LongTime);
            await (call % (othersCalls + 1) == 0 ? cluster.OneSilo : cluster.OtherSilo).ListAsync(user);
        });

        Assert.False(here.IsCompleted);
        Assert.Equal(0, cluster.HomeOf(User));
    }

    [SkippableFact]
    public async Task A_burst_from_another_silo_does_not_move_a_user()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        var here = cluster.Cluster.WaitForDeactivationAsync(User);

        await Task.WhenAll(Enumerable.Range(0, ManyCalls).Select(_ => cluster.OtherSilo.ListAsync(user)));
        await cluster.OneSilo.ListAsync(user);

        Assert.False(here.IsCompleted);
    }

    [SkippableFact]
    public async Task Decisions_on_another_silo_do_not_move_a_user()
    {
        var ids = Enumerable.Range(0, ClusterFixture.PendingLimit).Select(_ => Journey.NewId()).ToList();
        await Task.WhenAll(ids.Select(one => cluster.OneSilo.CreateAsync(user, one)));
        var here = cluster.Cluster.WaitForDeactivationAsync(User);

        await Assert.AllAsync(ids, async one =>
        {
            cluster.Clock.Advance(LongTime);
            Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.DecideAsync(user, one));
        });

        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        Assert.False(here.IsCompleted);
    }

    [SkippableFact]
    public async Task A_create_on_its_way_is_answered_before_the_user_moves_and_calls_meanwhile_after()
    {
        var first = Journey.NewId();
        await cluster.OneSilo.CreateAsync(user, first);
        var left = cluster.Cluster.WaitForDeactivationAsync(User);
        using var held = cluster.Storage.HoldNextAnswer(Operation);
        var create = cluster.OneSilo.CreateAsync(user, id);
        await held.Reached;

        await cluster.OtherSilo.ListAsync(user);
        cluster.Clock.Advance(LongTime);
        var lists = Enumerable.Range(0, ManyCalls).Select(_ => cluster.OtherSilo.ListAsync(user)).ToList();
        Assert.False(left.IsCompleted);
        held.Dispose();

        Assert.Equal(OperationOutcome.Done, await create);
        await left.WaitAsync(ClusterFixture.Patience);
        Assert.All(await Task.WhenAll(lists).WaitAsync(ClusterFixture.Patience), list => Assert.Equal([first, id], list));
        Assert.Equal(1, cluster.HomeOf(User));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OneSilo.CreateAsync(user, id));
    }

    [SkippableFact]
    public async Task A_user_does_not_move_while_an_end_is_on_its_way_and_the_list_never_shows_what_has_ended()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        var left = cluster.Cluster.WaitForDeactivationAsync(User);
        using var held = cluster.Storage.HoldNextWrite(Operation);
        var decision = cluster.OneSilo.DecideAsync(user, id);
        await held.Reached;

        await ListManyTimesAsync(cluster.OtherSilo);
        Assert.False(left.IsCompleted);
        held.Dispose();

        Assert.Equal(OperationOutcome.Done, await decision);
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
        await ListManyTimesAsync(cluster.OtherSilo);
        await left.WaitAsync(ClusterFixture.Patience);
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
    }

    // The history waits for the operation, whose expiry waits for the user.
    [SkippableFact]
    public async Task A_history_that_waits_for_an_expiry_and_a_move_do_not_wait_for_each_other()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: TimeSpan.FromSeconds(5));
        cluster.Clock.Advance(TimeSpan.FromSeconds(6));
        using var held = cluster.Storage.HoldNextRead(Operation);
        var history = cluster.OneSilo.HistoryAsync(user);
        await held.Reached;

        await cluster.OtherSilo.ListAsync(user);
        cluster.Clock.Advance(LongTime);
        var lists = Enumerable.Range(0, ManyCalls).Select(_ => cluster.OtherSilo.ListAsync(user)).ToList();
        await lists[0];
        held.Dispose();

        Assert.Equal(OperationStatus.Expired, Assert.Single(await history.WaitAsync(ClusterFixture.Patience)).Status);
        Assert.All(await Task.WhenAll(lists).WaitAsync(ClusterFixture.Patience), Assert.Empty);
    }

    [SkippableFact]
    public async Task Creates_while_users_move_are_neither_lost_nor_answered_twice()
    {
        var users = Enumerable.Range(0, 30).Select(_ => Journey.NewUser()).ToList();
        await Task.WhenAll(users.Select(one => cluster.OneSilo.CreateAsync(one, FirstOf(one))));
        await Task.WhenAll(users.Select(one => cluster.OtherSilo.ListAsync(one)));
        cluster.Clock.Advance(LongTime);
        var left = users.Select(one => cluster.Cluster.WaitForDeactivationAsync(cluster.OneSilo.GetUser(new(Journey.Customer, one)))).ToList();
        var created = new ConcurrentDictionary<string, ConcurrentBag<string>>(users.ToDictionary(one => one, one => new ConcurrentBag<string>([FirstOf(one)])));

        await Task.WhenAll(users.SelectMany(one => Enumerable.Range(1, ClusterFixture.PendingLimit - 1), (one, _) => Task.Run(async () =>
        {
            var id = Journey.NewId();
            var outcomes = await Task.WhenAll(cluster.OtherSilo.CreateAsync(one, id), cluster.OtherSilo.CreateAsync(one, id));
            Assert.Equal([OperationOutcome.Done, OperationOutcome.Duplicate], outcomes.Order());
            created[one].Add(id);
            Assert.Contains(id, await cluster.OtherSilo.ListAsync(one));
        }))).WaitAsync(ClusterFixture.Patience);

        await Task.WhenAll(left).WaitAsync(ClusterFixture.Patience);
        await Assert.AllAsync(users, async one =>
        {
            Assert.Equal(1, cluster.HomeOf(cluster.OneSilo.GetUser(new(Journey.Customer, one))));
            Assert.Equal(created[one].Order(), (await cluster.OneSilo.ListAsync(one)).Order());
        });

        static string FirstOf(string user) => $"first-of-{user}";
    }

    private async Task AskManyTimesAsync(IGrainFactory silo)
    {
        var left = cluster.Cluster.WaitForDeactivationAsync(User);
        await ListManyTimesAsync(silo);
        await left.WaitAsync(ClusterFixture.Patience);
    }

    private async Task ListManyTimesAsync(IGrainFactory silo)
    {
        await silo.ListAsync(user);
        cluster.Clock.Advance(LongTime);
        await InOrder.RepeatAsync(ManyCalls, () => silo.ListAsync(user));
    }
}
