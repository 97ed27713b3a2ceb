using System.Collections.Concurrent;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations.Pending;

[Collection(nameof(SqliteCluster))]
public sealed class ListOnSqlite(SqliteCluster cluster) : ListTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class ListOnPostgreSql(PostgreSqlCluster cluster) : ListTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class ListOnSqlServer(SqlServerCluster cluster) : ListTests(cluster);

public abstract class ListTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();

    [SkippableFact]
    public async Task A_user_whom_nobody_asked_anything_has_an_empty_list() =>
        Assert.Empty(await cluster.OneSilo.ListAsync(user));

    [SkippableFact]
    public async Task The_list_is_in_the_order_of_creation_whichever_silo_created()
    {
        string[] ids = ["c", "a", "d", "b"];
        ids = [.. ids.Select(id => id + Journey.NewId())];
        IGrainFactory[] silos = [cluster.OneSilo, cluster.OtherSilo, cluster.OtherSilo, cluster.OneSilo];
        await InOrder.ForEachAsync(ids.Zip(silos), async create =>
        {
            var (id, silo) = create;
            await silo.CreateAsync(user, id);
            cluster.Clock.Advance(TimeSpan.FromMilliseconds(1));
        });

        Assert.Equal(ids, await cluster.OneSilo.ListAsync(user));
        await cluster.DeactivateAsync(cluster.OneSilo.GetUser(new(Journey.Customer, user)));
        Assert.Equal(ids, await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task Every_operation_that_was_answered_is_found_and_on_every_later_list()
    {
        var users = Enumerable.Range(0, 6).Select(_ => Journey.NewUser()).ToList();
        var answered = new ConcurrentDictionary<string, ConcurrentBag<string>>(users.ToDictionary(one => one, _ => new ConcurrentBag<string>()));
        var creates = users.SelectMany(one => Enumerable.Range(0, ClusterFixture.PendingLimit).Select(number => Task.Run(async () =>
        {
            var (silo, otherSilo) = number % 2 == 0 ? (cluster.OneSilo, cluster.OtherSilo) : (cluster.OtherSilo, cluster.OneSilo);
            var id = Journey.NewId();
            Assert.Equal(OperationOutcome.Done, await silo.CreateAsync(one, id));
            answered[one].Add(id);
            Assert.Equal(one, (await otherSilo.ReadAsync(id))!.UserId);
            Assert.Equal(OperationOutcome.Duplicate, await otherSilo.CreateAsync(one, id));
        }))).ToList();
        var all = Task.WhenAll(creates);

        var lists = users.Select(one => Task.Run(() => InOrder.RepeatUntilAsync(all, async () =>
        {
            string[] before = [.. answered[one]];
            await Assert.AllAsync([cluster.OneSilo, cluster.OtherSilo], async silo =>
            {
                var list = await silo.ListAsync(one);
                Assert.Empty(before.Except(list));
                Assert.Equal(list.Count, list.Distinct().Count());
            });
        }))).ToList();

        await Task.WhenAll([all, .. lists]).WaitAsync(ClusterFixture.Patience);
        await Assert.AllAsync(users, async one => Assert.Equal(answered[one].Order(), (await cluster.OneSilo.ListAsync(one)).Order()));
    }

    [SkippableFact]
    public async Task An_operation_that_can_be_read_is_on_the_list_even_before_its_create_is_answered()
    {
        var (first, second) = (Journey.NewId(), Journey.NewId());
        await cluster.OneSilo.CreateAsync(user, first);
        using var held = cluster.Storage.HoldNextAnswer(cluster.OneSilo.GetOperation(new(Journey.Customer, second)));
        var create = cluster.OneSilo.CreateAsync(user, second);
        await held.Reached;
        var read = await cluster.OtherSilo.ReadAsync(second);

        Assert.NotNull(read);
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));

        held.Dispose();
        Assert.Equal(OperationOutcome.Done, await create);
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_list_keeps_the_order_of_the_creates_when_a_clock_steps_back()
    {
        var (first, second) = (Journey.NewId(), Journey.NewId());
        await cluster.OneSilo.CreateAsync(user, first);
        cluster.Clock.AdjustTime(cluster.Clock.GetUtcNow() - TimeSpan.FromMilliseconds(500));
        await cluster.OtherSilo.CreateAsync(user, second);

        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_list_answers_while_an_operation_of_the_user_is_being_written()
    {
        var (first, second) = (Journey.NewId(), Journey.NewId());
        await cluster.OneSilo.CreateAsync(user, first);
        cluster.Clock.Advance(TimeSpan.FromMilliseconds(1));
        using var held = cluster.Storage.HoldNextWrite(cluster.OneSilo.GetOperation(new(Journey.Customer, second)));
        var create = cluster.OneSilo.CreateAsync(user, second);
        await held.Reached;

        Assert.Equal([first], await cluster.OtherSilo.ListAsync(user).WaitAsync(ClusterFixture.Patience));
        Assert.Null(await cluster.OtherSilo.ReadAsync(second).WaitAsync(ClusterFixture.Patience));

        held.Dispose();
        Assert.Equal(OperationOutcome.Done, await create);
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task Lists_do_not_wait_for_operations_that_are_being_written_and_no_more_are_created_than_the_limit_allows()
    {
        var ids = Enumerable.Range(0, ClusterFixture.PendingLimit + 1).Select(_ => Journey.NewId()).ToList();
        var held = ids.Select(id => cluster.Storage.HoldNextWrite(cluster.OneSilo.GetOperation(new(Journey.Customer, id)))).ToList();
        var creates = ids.Select((id, number) => (number % 2 == 0 ? cluster.OneSilo : cluster.OtherSilo).CreateAsync(user, id)).ToList();

        // They do not wait for each other, but for the one that cannot reserve: a reservation may be released.
        await Reached(held, ClusterFixture.PendingLimit);

        var lists = Enumerable.Range(0, 8).Select(number => (number % 2 == 0 ? cluster.OneSilo : cluster.OtherSilo).ListAsync(user));
        Assert.All(await Task.WhenAll(lists).WaitAsync(ClusterFixture.Patience), Assert.Empty);

        held.ForEach(write => write.Dispose());
        var outcomes = ids.Zip(await Task.WhenAll(creates).WaitAsync(ClusterFixture.Patience)).ToLookup(create => create.Second, create => create.First);
        Assert.Single(outcomes[OperationOutcome.PendingLimitReached]);
        Assert.Equal(ClusterFixture.PendingLimit, outcomes[OperationOutcome.Done].Count());
        Assert.Equal(outcomes[OperationOutcome.Done].Order(), (await cluster.OneSilo.ListAsync(user)).Order());
    }

    [SkippableFact]
    public async Task Creates_and_lists_of_one_user_at_once_do_not_wait_for_each_other_at_the_limit()
    {
        var calls = Enumerable.Range(0, 3 * ClusterFixture.PendingLimit).Select(number => Task.Run(async () =>
        {
            var silo = number % 2 == 0 ? cluster.OneSilo : cluster.OtherSilo;
            var outcome = await silo.CreateAsync(user, Journey.NewId());
            var list = await silo.ListAsync(user);
            Assert.InRange(list.Count, 0, ClusterFixture.PendingLimit);
            return outcome;
        }));

        var outcomes = await Task.WhenAll(calls).WaitAsync(ClusterFixture.Patience);

        Assert.Equal(ClusterFixture.PendingLimit, outcomes.Count(outcome => outcome is OperationOutcome.Done));
        Assert.Equal(2 * ClusterFixture.PendingLimit, outcomes.Count(outcome => outcome is OperationOutcome.PendingLimitReached));
        Assert.Equal(ClusterFixture.PendingLimit, (await cluster.OneSilo.ListAsync(user)).Count);
    }

    [SkippableTheory]
    [InlineData(Verdict.Approve)]
    [InlineData(Verdict.Deny)]
    public async Task A_decided_operation_leaves_the_list_on_every_silo_and_for_ever(Verdict verdict)
    {
        var (decided, pending) = (Journey.NewId(), Journey.NewId());
        await cluster.OneSilo.CreateAsync(user, decided);
        await cluster.OneSilo.CreateAsync(user, pending);

        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.DecideAsync(user, decided, verdict));

        Assert.Equal([pending], await cluster.OneSilo.ListAsync(user));
        Assert.Equal([pending], await cluster.OtherSilo.ListAsync(user));
        await cluster.DeactivateAsync(cluster.OneSilo.GetUser(new(Journey.Customer, user)), cluster.OneSilo.GetOperation(new(Journey.Customer, decided)));
        Assert.Equal([pending], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task The_limit_counts_only_what_is_pending_also_after_a_restart()
    {
        var ids = Enumerable.Range(0, ClusterFixture.PendingLimit).Select(_ => Journey.NewId()).ToList();
        await Task.WhenAll(ids.Select(id => cluster.OneSilo.CreateAsync(user, id)));
        Assert.Equal(OperationOutcome.PendingLimitReached, await cluster.OneSilo.CreateAsync(user, Journey.NewId()));
        await cluster.OneSilo.DecideAsync(user, ids[0]);
        await cluster.OneSilo.DecideAsync(user, ids[1], Verdict.Deny);

        await cluster.DeactivateAsync(cluster.OneSilo.GetUser(new(Journey.Customer, user)));

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, Journey.NewId()));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, Journey.NewId()));
        Assert.Equal(OperationOutcome.PendingLimitReached, await cluster.OtherSilo.CreateAsync(user, Journey.NewId()));
        Assert.Equal(ClusterFixture.PendingLimit, (await cluster.OneSilo.ListAsync(user)).Count);
    }

    [SkippableFact]
    public async Task A_create_that_is_repeated_at_the_limit_is_answered_like_the_first()
    {
        var ids = Enumerable.Range(0, ClusterFixture.PendingLimit).Select(_ => Journey.NewId()).ToList();
        await Task.WhenAll(ids.Select(id => cluster.OneSilo.CreateAsync(user, id, attempt: id)));

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, ids[0], attempt: ids[0]));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, ids[0]));
    }

    [SkippableFact]
    public async Task An_id_that_exists_is_answered_as_such_also_by_a_user_who_has_reached_the_limit()
    {
        var (decided, theirs) = (Journey.NewId(), Journey.NewId());
        await cluster.OneSilo.CreateAsync(user, decided, attempt: decided);
        await cluster.OneSilo.DecideAsync(user, decided);
        await cluster.OneSilo.CreateAsync(Journey.NewUser(), theirs);
        await Task.WhenAll(Enumerable.Range(0, ClusterFixture.PendingLimit).Select(_ => cluster.OneSilo.CreateAsync(user, Journey.NewId())));
        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(new(Journey.Customer, decided)));

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, decided, attempt: decided));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, decided));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OneSilo.CreateAsync(user, theirs));
        Assert.Equal(OperationOutcome.PendingLimitReached, await cluster.OneSilo.CreateAsync(user, Journey.NewId()));
    }

    private static Task Reached(List<HeldCall> held, int count)
    {
        var reached = new Progress();
        held.ForEach(write => write.Reached.ContinueWith(_ => reached.Step(), TaskScheduler.Default));
        return reached.AdvancesBy(count);
    }
}
