using CsCheck;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class HistoryPagesOnSqlite(SqliteCluster cluster) : HistoryPageTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class HistoryPagesOnPostgreSql(PostgreSqlCluster cluster) : HistoryPageTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class HistoryPagesOnSqlServer(SqlServerCluster cluster) : HistoryPageTests(cluster);

// Every operation that a user was ever asked.
public abstract class HistoryPageTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();

    [SkippableFact]
    public async Task An_operation_is_in_the_history_from_its_create_on_whatever_becomes_of_it()
    {
        var id = Journey.NewId();
        await cluster.OneSilo.CreateAsync(user, id, payload: "pay \u20ac5");
        Assert.Equal(await cluster.OneSilo.ReadAsync(id), Assert.Single(await AllAsync(limit: 100)));

        await cluster.OtherSilo.DecideAsync(user, id, Verdict.Deny);

        Assert.Equal(await cluster.OneSilo.ReadAsync(id), Assert.Single(await AllAsync(limit: 100)));
        Assert.Equal(OperationStatus.Denied, (await AllAsync(limit: 1))[0].Status);
    }

    [SkippableFact]
    public async Task The_history_shows_an_end_when_a_read_does_and_neither_before_it_is_durable()
    {
        var id = Journey.NewId();
        await cluster.OneSilo.CreateAsync(user, id);
        using (var held = cluster.Storage.HoldNextWrite(cluster.OneSilo.GetOperation(new(Journey.Customer, id))))
        {
            var failing = cluster.OneSilo.DecideAsync(user, id);
            await held.Reached;
            Assert.Equal(OperationStatus.Pending, Assert.Single(await AllAsync(limit: 100)).Status);
            Assert.Equal(OperationStatus.Pending, (await cluster.OtherSilo.ReadAsync(id))!.Status);
            held.Fail();
            await Assert.ThrowsAnyAsync<Exception>(() => failing);
        }

        using var answer = cluster.Storage.HoldNextAnswer(cluster.OneSilo.GetOperation(new(Journey.Customer, id)));
        var decision = cluster.OneSilo.DecideAsync(user, id);
        await answer.Reached;
        Assert.Equal(OperationStatus.Approved, Assert.Single(await AllAsync(limit: 100)).Status);
        Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(id))!.Status);

        answer.Dispose();
        Assert.Equal(OperationOutcome.Done, await decision);
        Assert.Equal(OperationStatus.Approved, Assert.Single(await AllAsync(limit: 100)).Status);
    }

    [SkippableFact]
    public async Task The_history_never_says_expired_of_a_decision_that_takes_long_to_be_written()
    {
        var (id, lifetime) = (Journey.NewId(), TimeSpan.FromSeconds(5));
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: lifetime);
        Task<OperationOutcome> decision;
        Task<IReadOnlyList<Operation>> history;
        using (var held = cluster.Storage.HoldNextWrite(cluster.OneSilo.GetOperation(new(Journey.Customer, id))))
        {
            decision = cluster.OneSilo.DecideAsync(user, id);
            await held.Reached;
            cluster.Clock.Advance(lifetime);
            history = AllAsync(limit: 100);

            // The same question about somebody else, that came later and was answered, shows that this one has come as far as it can.
            await cluster.OtherSilo.GetUser(new(Journey.Customer, Journey.NewUser())).ListHistoryAsync(null, null, 100);
        }

        Assert.Equal(OperationOutcome.Done, await decision);
        Assert.Equal(OperationStatus.Approved, Assert.Single(await history).Status);
    }

    [SkippableFact]
    public async Task A_refused_create_leaves_nothing_in_the_history_of_either_user()
    {
        var (id, other) = (Journey.NewId(), Journey.NewUser());
        await cluster.OneSilo.CreateAsync(user, id);

        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(other, id));

        Assert.Empty((await cluster.OneSilo.GetUser(new(Journey.Customer, other)).ListHistoryAsync(null, null, 100)).Operations);
        Assert.Single(await AllAsync(limit: 100));
    }

    [SkippableFact]
    public async Task Pages_of_any_size_are_together_the_whole_history_newest_first_with_ties_by_id()
    {
        // Three in each millisecond, and one more than the operations that may be pending at once.
        await InOrder.ForEachAsync(Enumerable.Range(0, ClusterFixture.PendingLimit + 1), async number =>
        {
            var id = Journey.NewId();
            Assert.Equal(OperationOutcome.Done, await (number % 2 == 0 ? cluster.OneSilo : cluster.OtherSilo).CreateAsync(user, id));
            await cluster.OneSilo.DecideAsync(user, id, number % 3 == 0 ? Verdict.Approve : Verdict.Deny);
            cluster.Clock.Advance(TimeSpan.FromMilliseconds(number % 3 == 2 ? 1 : 0));
        });

        var whole = await AllAsync(limit: 100);

        Assert.Equal(ClusterFixture.PendingLimit + 1, whole.Count);
        Assert.Equal(whole.OrderByDescending(operation => operation.CreatedAt).ThenByDescending(operation => operation.Id), whole);
        var generated = Gen.Select(Gen.Int[1, 12], Gen.OneOf<OperationStatus?>(null, OperationStatus.Approved, OperationStatus.Denied, OperationStatus.Pending)).Array[6].Single();
        await Assert.AllAsync(generated, async pages =>
        {
            var (limit, status) = pages;
            Assert.Equal(whole.Where(operation => status is null || operation.Status == status), await AllAsync(limit, status));
        });
    }

    [SkippableFact]
    public async Task A_page_has_no_more_than_a_mebibyte_and_the_next_one_goes_on()
    {
        await InOrder.RepeatAsync(65, async () =>
        {
            var id = Journey.NewId();
            await cluster.OneSilo.CreateAsync(user, id, payload: new string('x', OperationLimits.Payload));
            await cluster.OneSilo.DecideAsync(user, id);
        });

        var first = await cluster.OtherSilo.GetUser(new(Journey.Customer, user)).ListHistoryAsync(null, null, 100);

        Assert.NotNull(first.Next);
        Assert.InRange(first.Operations.Sum(SentBytes.Of), UserHistory.MostBytes - (2 * OperationLimits.Payload), UserHistory.MostBytes);
        Assert.Equal(65, (await AllAsync(limit: 100)).DistinctBy(operation => operation.OperationId).Count());
    }

    [SkippableFact]
    public async Task What_expires_is_found_as_expired_and_not_as_pending_from_its_deadline_on()
    {
        var id = Journey.NewId();
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: TimeSpan.FromSeconds(5));
        Assert.Single(await AllAsync(10, OperationStatus.Pending));
        Assert.Empty(await AllAsync(10, OperationStatus.Expired));

        cluster.Clock.Advance(TimeSpan.FromSeconds(5));

        Assert.Empty(await AllAsync(10, OperationStatus.Pending));
        Assert.Equal(id, Assert.Single(await AllAsync(10, OperationStatus.Expired)).OperationId);
        cluster.Clock.Advance(TimeSpan.FromHours(1));
        Assert.Single(await AllAsync(10, OperationStatus.Expired));
    }

    [SkippableTheory]
    [InlineData(0, null)]
    [InlineData(101, null)]
    [InlineData(1, "")]
    [InlineData(1, "2025-05-21T10:30:00.000Z/7")]
    [InlineData(1, "2025-05-21T10:30:00.000Z/0000000000000007\n")]
    public async Task A_page_that_breaks_a_rule_is_refused(int limit, string? after) =>
        await Assert.ThrowsAsync<ArgumentException>(() => cluster.OneSilo.GetUser(new(Journey.Customer, user)).ListHistoryAsync(null, after, limit));

    private Task<IReadOnlyList<Operation>> AllAsync(int limit, OperationStatus? status = null) => cluster.OtherSilo.PagedHistoryAsync(user, limit, status);
}
