using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class DeadlinesOnSqlite(SqliteCluster cluster) : ExpiryTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class DeadlinesOnPostgreSql(PostgreSqlCluster cluster) : ExpiryTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class DeadlinesOnSqlServer(SqlServerCluster cluster) : ExpiryTests(cluster);

// The two ends that are no decision of the user: the deadline and the cancel.
public abstract class ExpiryTests(ClusterFixture cluster)
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    [SkippableFact]
    public async Task From_its_deadline_on_and_not_before_an_operation_is_expired_on_every_silo_and_on_no_list()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        var operation = await cluster.OneSilo.ReadAsync(id);
        Assert.Equal(operation!.CreatedAt + Lifetime, operation.ExpiresAt);

        AdvanceTo(operation.ExpiresAt!.Value - Tick);
        Assert.Equal(OperationStatus.Pending, (await cluster.OtherSilo.ReadAsync(id))!.Status);
        Assert.Equal([id], await cluster.OtherSilo.ListAsync(user));

        cluster.Clock.Advance(Tick);
        Assert.Equal(operation with { Status = OperationStatus.Expired, DecidedAt = operation.ExpiresAt }, await cluster.OtherSilo.ReadAsync(id));
        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        Assert.Equal(OperationOutcome.Expired, await cluster.OneSilo.DecideAsync(user, id));
        Assert.Equal(OperationOutcome.Expired, await cluster.OtherSilo.GetOperation(new(Journey.Customer, id)).CancelAsync(null));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, id));
    }

    [SkippableFact]
    public async Task A_decision_a_tick_before_the_deadline_counts_for_ever()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        AdvanceTo((await cluster.OneSilo.ReadAsync(id))!.ExpiresAt!.Value - Tick);

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.DecideAsync(user, id));

        cluster.Clock.Advance(Lifetime);
        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(new(Journey.Customer, id)));
        Assert.Equal(OperationStatus.Approved, (await cluster.OneSilo.ReadAsync(id))!.Status);
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.DecideAsync(user, id));
    }

    [SkippableFact]
    public async Task Nobody_hears_that_it_is_expired_while_a_decision_that_came_in_time_is_being_written()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        var operation = cluster.OneSilo.GetOperation(new(Journey.Customer, id));
        Task<OperationOutcome> decision;
        Task<Operation?> read;
        using (var held = cluster.Storage.HoldNextWrite(operation))
        {
            decision = cluster.OneSilo.DecideAsync(user, id);
            await held.Reached;
            cluster.Clock.Advance(Lifetime);
            read = cluster.OtherSilo.ReadAsync(id);

            // A call that came later and was answered shows that the read has come as far as it can.
            await cluster.OtherSilo.ListAsync(Journey.NewUser());
            Assert.False(read.IsCompleted);
        }

        Assert.Equal(OperationOutcome.Done, await decision);
        Assert.Equal(OperationStatus.Approved, (await read)!.Status);
    }

    [SkippableFact]
    public async Task Expired_operations_do_not_count_against_the_limit()
    {
        await InOrder.RepeatAsync(ClusterFixture.PendingLimit, async () =>
            Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, Journey.NewId(), expiresIn: Lifetime)));

        Assert.Equal(OperationOutcome.PendingLimitReached, await cluster.OneSilo.CreateAsync(user, id));
        cluster.Clock.Advance(Lifetime);

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id));
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task Of_a_cancel_and_an_approval_that_race_exactly_one_wins_and_the_other_is_told_which()
    {
        var races = await Task.WhenAll(Enumerable.Range(0, 40).Select(async number =>
        {
            var (mine, owner) = (Journey.NewId(), Journey.NewUser());
            await cluster.OneSilo.CreateAsync(owner, mine);
            var (first, second) = number % 2 == 0 ? (cluster.OneSilo, cluster.OtherSilo) : (cluster.OtherSilo, cluster.OneSilo);
            var cancel = first.GetOperation(new(Journey.Customer, mine)).CancelAsync("race");
            var approval = second.DecideAsync(owner, mine);
            return (Cancel: await cancel, Approval: await approval, (await second.ReadAsync(mine))!.Status, List: await first.ListAsync(owner));
        }));

        Assert.All(races, race =>
        {
            Assert.Empty(race.List);
            Assert.Equal(
                race.Status is OperationStatus.Cancelled
                    ? (OperationOutcome.Done, OperationOutcome.Cancelled, OperationStatus.Cancelled)
                    : (OperationOutcome.AlreadyApproved, OperationOutcome.Done, OperationStatus.Approved),
                (race.Cancel, race.Approval, race.Status));
        });
    }

    [SkippableFact]
    public async Task A_cancel_is_durable_and_takes_the_operation_off_the_list()
    {
        await cluster.OneSilo.CreateAsync(user, id);

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.GetOperation(new(Journey.Customer, id)).CancelAsync("ordered twice"));

        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(new(Journey.Customer, id)), cluster.OneSilo.GetUser(new(Journey.Customer, user)));
        var operation = await cluster.OneSilo.ReadAsync(id);
        Assert.Equal((OperationStatus.Cancelled, "ordered twice"), (operation!.Status, operation.Reason));
        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        Assert.Equal(OperationOutcome.NotFound, await cluster.OneSilo.GetOperation(new(Journey.Customer, Journey.NewId())).CancelAsync(null));
    }

    private void AdvanceTo(DateTimeOffset time) => cluster.Clock.Advance(time - cluster.Clock.GetUtcNow());
}
