using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class LateWritesOnSqlite(SqliteCluster cluster) : LateWriteTests(cluster);

[Collection(nameof(SqliteStockCluster))]
public sealed class LateWritesOnSqliteStock(SqliteStockCluster cluster) : LateWriteTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class LateWritesOnPostgreSql(PostgreSqlCluster cluster) : LateWriteTests(cluster);

[Collection(nameof(PostgreSqlStockCluster))]
public sealed class LateWritesOnPostgreSqlStock(PostgreSqlStockCluster cluster) : LateWriteTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class LateWritesOnSqlServer(SqlServerCluster cluster) : LateWriteTests(cluster);

[Collection(nameof(SqlServerStockCluster))]
public sealed class LateWritesOnSqlServerStock(SqlServerStockCluster cluster) : LateWriteTests(cluster);

// A statement that comes to the database after its sender was told that it failed, and rows that another activation writes.
// Whatever was told before, or comes later: final is final, and what exists is found and listed.
public abstract class LateWriteTests(ClusterFixture cluster)
{
    private static readonly TimeSpan Lifetime = TimeSpan.FromSeconds(5);

    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    private IOperationGrain Operation => cluster.OneSilo.GetOperation(new(Journey.Customer, id));

    private IUserGrain User => cluster.OneSilo.GetUser(new(Journey.Customer, user));

    [SkippableFact]
    public async Task A_decision_that_arrives_after_expired_was_told_changes_nothing_for_anybody()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        var late = cluster.Storage.DelayNextWrite(Operation);
        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OneSilo.DecideAsync(user, id));
        cluster.Clock.Advance(Lifetime);
        Assert.Equal(OperationStatus.Expired, (await cluster.OtherSilo.ReadAsync(id))!.Status);

        Assert.NotNull(await late.ArriveAsync());

        await ShouldBeAsync(OperationStatus.Expired);
        Assert.Equal(OperationOutcome.Expired, await cluster.OneSilo.DecideAsync(user, id));
        await cluster.DeactivateAsync(Operation, User);
        await ShouldBeAsync(OperationStatus.Expired);
        Assert.Equal(OperationOutcome.Expired, await cluster.OtherSilo.GetOperation(new(Journey.Customer, id)).CancelAsync(null));
    }

    [SkippableFact]
    public async Task A_decision_that_arrives_after_its_deadline_before_anybody_was_told_counts()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        var late = cluster.Storage.DelayNextWrite(Operation);
        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OneSilo.DecideAsync(user, id));
        cluster.Clock.Advance(Lifetime);

        Assert.Null(await late.ArriveAsync());

        await ShouldBeAsync(OperationStatus.Approved);
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.DecideAsync(user, id));
    }

    [SkippableFact]
    public async Task A_decision_that_may_arrive_is_told_from_the_moment_when_it_does()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        var late = cluster.Storage.DelayNextWrite(Operation);
        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OneSilo.DecideAsync(user, id));
        await ShouldBeAsync(OperationStatus.Pending);
        Assert.Equal([id], await cluster.OtherSilo.ListAsync(user));

        Assert.Null(await late.ArriveAsync());

        await ShouldBeAsync(OperationStatus.Approved);
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_write_without_an_answer_is_read_for_until_it_cannot_arrive_any_more()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        cluster.Storage.FailNextWrite(Operation, FailedWrite.BeforeItsCommit);
        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OneSilo.DecideAsync(user, id));
        cluster.Clock.Advance(Times.UnknownOutcome - TimeSpan.FromTicks(1));
        var reads = cluster.Storage.ReadsOf(Operation);
        await cluster.OtherSilo.ReadAsync(id);
        await cluster.OtherSilo.ReadAsync(id);
        Assert.Equal(reads + 2, cluster.Storage.ReadsOf(Operation));

        cluster.Clock.Advance(TimeSpan.FromTicks(1));
        await cluster.OtherSilo.ReadAsync(id);
        Assert.Equal(reads + 2, cluster.Storage.ReadsOf(Operation));
    }

    [SkippableFact]
    public async Task A_list_is_refreshed_for_whoever_asks_as_long_as_the_end_of_an_operation_may_arrive()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        cluster.Storage.FailNextWrite(Operation, FailedWrite.BeforeItsCommit);
        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OneSilo.DecideAsync(user, id));
        cluster.Clock.Advance(Times.LongestWrite - TimeSpan.FromTicks(1));
        var refreshes = cluster.Storage.RefreshesOf(User);
        await cluster.OtherSilo.ListAsync(user);
        await cluster.OtherSilo.ListAsync(user);
        Assert.Equal(refreshes + 2, cluster.Storage.RefreshesOf(User));

        cluster.Clock.Advance(TimeSpan.FromTicks(1));
        await cluster.OtherSilo.ListAsync(user);
        Assert.Equal(refreshes + 2, cluster.Storage.RefreshesOf(User));
    }

    [SkippableFact]
    public async Task A_create_that_arrives_late_is_on_the_list_from_then_on_and_done_when_it_is_sent_again()
    {
        var other = Journey.NewId();
        await cluster.OneSilo.CreateAsync(user, other);
        cluster.Clock.Advance(TimeSpan.FromMilliseconds(1));
        var late = cluster.Storage.DelayNextWrite(Operation);
        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OneSilo.CreateAsync(user, id, "attempt-1"));
        Assert.Equal([other], await cluster.OtherSilo.ListAsync(user));
        Assert.Null(await cluster.OtherSilo.ReadAsync(id));

        Assert.Null(await late.ArriveAsync());

        Assert.Equal([other, id], await cluster.OtherSilo.ListAsync(user));
        Assert.NotNull(await cluster.OneSilo.ReadAsync(id));
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, id, "attempt-1"));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OneSilo.CreateAsync(user, id, "attempt-2"));
        Assert.Equal([other, id], await cluster.OtherSilo.ListAsync(user));
        cluster.Clock.Advance(Times.UnknownOutcome);
        Assert.Equal([other, id], await cluster.OneSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_create_that_is_sent_again_and_found_puts_its_operation_on_a_list_that_is_known()
    {
        await cluster.OtherSilo.KeepAsync(cluster.OtherSilo.GetUser(new(Journey.Customer, user)));
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
        await cluster.RewriteAsync<OperationState>(Operation, OperationState.Name, _ => StateOf("attempt-1"));
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));

        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, id, "attempt-1"));

        Assert.Equal([id], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_create_that_may_arrive_keeps_its_reservation_until_it_is_known_what_became_of_it()
    {
        cluster.Storage.FailNextWrite(Operation, FailedWrite.BeforeItsCommit);
        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OneSilo.CreateAsync(user, id));
        var others = await Task.WhenAll(Enumerable.Range(0, ClusterFixture.PendingLimit).Select(_ => cluster.OneSilo.CreateAsync(user, Journey.NewId())));
        Assert.Single(others, OperationOutcome.PendingLimitReached);
        Assert.Equal(ClusterFixture.PendingLimit - 1, (await cluster.OneSilo.ListAsync(user)).Count);

        cluster.Clock.Advance(Times.UnknownOutcome);

        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, Journey.NewId()));
        Assert.Equal(OperationOutcome.PendingLimitReached, await cluster.OneSilo.CreateAsync(user, Journey.NewId()));
    }

    [SkippableFact]
    public async Task A_decision_that_another_activation_wrote_is_told_within_five_seconds()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        await cluster.OtherSilo.ReadAsync(id);
        await cluster.OtherSilo.ListAsync(user);
        await cluster.RewriteAsync<OperationState>(Operation, OperationState.Name, state => state.Cancel("elsewhere", cluster.Clock.GetUtcNow()).Next);

        cluster.Clock.Advance(Times.CacheLifetime);

        await ShouldBeAsync(OperationStatus.Cancelled);
        Assert.Empty(await cluster.OneSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task An_operation_that_another_activation_of_its_user_created_is_listed_within_five_seconds_and_counts()
    {
        await cluster.OneSilo.ListAsync(user);
        await cluster.RewriteAsync<OperationState>(Operation, OperationState.Name, _ => StateOf("elsewhere"));
        cluster.Clock.Advance(Times.CacheLifetime);

        var created = await Task.WhenAll(Enumerable.Range(0, ClusterFixture.PendingLimit).Select(_ => cluster.OneSilo.CreateAsync(user, Journey.NewId())));

        Assert.Single(created, OperationOutcome.PendingLimitReached);
        Assert.Equal(ClusterFixture.PendingLimit, (await cluster.OneSilo.ListAsync(user)).Count);
        Assert.Contains(id, await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task What_is_overdue_is_written_when_its_users_list_is_refreshed_and_costs_nothing_before()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        cluster.Clock.Advance(Lifetime);
        Assert.Equal("pending", await StoredStatusAsync());

        using var held = cluster.Storage.HoldNextWrite(Operation);
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));

        // Nobody has asked the operation: only the refresh of the list can have begun this write.
        await held.Reached;
        held.Dispose();
        await ShouldBeAsync(OperationStatus.Expired);
    }

    [SkippableFact]
    public async Task An_expiry_that_cannot_be_written_is_told_to_nobody()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        await cluster.OneSilo.ReadAsync(id);
        cluster.Clock.Advance(Lifetime);
        cluster.Storage.FailNextWrite(Operation, FailedWrite.BeforeItsCommit);

        await Assert.ThrowsAsync<StorageFaultException>(() => cluster.OtherSilo.ReadAsync(id));

        Assert.Equal("pending", await StoredStatusAsync());
        await ShouldBeAsync(OperationStatus.Expired);
    }

    [SkippableFact]
    public async Task All_who_ask_about_an_overdue_operation_share_one_write()
    {
        await cluster.OneSilo.CreateAsync(user, id, expiresIn: Lifetime);
        cluster.Clock.Advance(Lifetime);

        var answers = await Task.WhenAll(Enumerable.Range(0, 20).Select(number => (number % 2 == 0 ? cluster.OneSilo : cluster.OtherSilo).ReadAsync(id)));

        Assert.All(answers, answer => Assert.Equal(OperationStatus.Expired, answer!.Status));
        Assert.Equal(2, (await cluster.TestDatabase.VersionsAsync())[Operation.GetPrimaryKeyString()]);
    }

    private OperationState StateOf(string attempt) =>
        OperationState.Create(new(Journey.Customer, user), Journey.RequestOf(id, attempt), Random.Shared.NextInt64(1_000_000_000, 2_000_000_000), "node-9", cluster.Clock.GetUtcNow());

    private async Task ShouldBeAsync(OperationStatus status)
    {
        Assert.Equal(status, (await cluster.OneSilo.ReadAsync(id))!.Status);
        Assert.Equal(status, (await cluster.OtherSilo.ReadAsync(id))!.Status);
        Assert.Equal(status, (await cluster.OtherSilo.HistoryAsync(user)).Single(operation => operation.OperationId == id).Status);
        Assert.Equal(status.ToString().ToLowerInvariant(), await StoredStatusAsync());
    }

    private async Task<string?> StoredStatusAsync() =>
        (string?)(await cluster.TestDatabase.QueryAsync("SELECT OperationId, Status FROM RecognizeOperations")).Single(row => (string?)row["OperationId"] == id)["Status"];
}
