using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class FailedWritesOnSqlite(SqliteCluster cluster) : FailedWriteTests(cluster);

[Collection(nameof(SqliteStockCluster))]
public sealed class FailedWritesOnSqliteStock(SqliteStockCluster cluster) : FailedWriteTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class FailedWritesOnPostgreSql(PostgreSqlCluster cluster) : FailedWriteTests(cluster);

[Collection(nameof(PostgreSqlStockCluster))]
public sealed class FailedWritesOnPostgreSqlStock(PostgreSqlStockCluster cluster) : FailedWriteTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class FailedWritesOnSqlServer(SqlServerCluster cluster) : FailedWriteTests(cluster);

[Collection(nameof(SqlServerStockCluster))]
public sealed class FailedWritesOnSqlServerStock(SqlServerStockCluster cluster) : FailedWriteTests(cluster);

// A write that fails, and another activation that was faster.
public abstract class FailedWriteTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string otherUser = Journey.NewUser();
    private readonly string id = Journey.NewId();

    private IOperationGrain Operation => cluster.OneSilo.GetOperation(new(Journey.Customer, id));

    private IUserGrain User => cluster.OneSilo.GetUser(new(Journey.Customer, user));

    [SkippableFact]
    public async Task A_write_that_the_storage_had_no_room_for_leaves_what_is_known_as_it_was()
    {
        await cluster.OneSilo.CreateAsync(user, Journey.NewId());
        var refreshes = cluster.Storage.RefreshesOf(User);
        cluster.Storage.FailNextWrite(Operation, FailedWrite.NoRoom);

        await Assert.ThrowsAsync<StorageBusyException>(() => cluster.OneSilo.CreateAsync(user, id));

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id));
        Assert.Equal(2, (await cluster.OneSilo.ListAsync(user)).Count);
        Assert.Equal(refreshes, cluster.Storage.RefreshesOf(User));
    }

    [SkippableTheory]
    [InlineData(FailedWrite.BeforeItsCommit)]
    [InlineData(FailedWrite.AfterItsCommit)]
    public async Task The_same_attempt_after_a_failed_write_of_the_operation_is_done_and_never_a_duplicate(FailedWrite moment)
    {
        cluster.Storage.FailNextWrite(Operation, moment);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.CreateAsync(user, id, "attempt-1"));

        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, id, "attempt-1"));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id, "attempt-1"));

        await AssertPendingOnceAsync();
    }

    [SkippableTheory]
    [InlineData(FailedWrite.BeforeItsCommit, false, OperationOutcome.Done)]
    [InlineData(FailedWrite.AfterItsCommit, true, OperationOutcome.Duplicate)]
    public async Task After_a_failed_write_of_the_operation_every_answer_is_what_the_database_holds(FailedWrite moment, bool stored, OperationOutcome outcome)
    {
        cluster.Storage.FailNextWrite(Operation, moment);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.CreateAsync(user, id));

        Assert.Equal(stored, await cluster.OtherSilo.ReadAsync(id) is not null);
        Assert.Equal(stored, (await cluster.OtherSilo.ListAsync(user)).Contains(id));

        Assert.Equal(outcome, await cluster.OtherSilo.CreateAsync(user, id));
        await AssertPendingOnceAsync();
    }

    [SkippableTheory]
    [InlineData(FailedWrite.BeforeItsCommit, OperationStatus.Pending, OperationOutcome.Done)]
    [InlineData(FailedWrite.AfterItsCommit, OperationStatus.Approved, OperationOutcome.AlreadyDecided)]
    public async Task After_a_failed_write_of_a_decision_every_answer_is_what_the_database_holds(FailedWrite moment, OperationStatus stored, OperationOutcome outcome)
    {
        await cluster.OneSilo.CreateAsync(user, id);
        cluster.Storage.FailNextWrite(Operation, moment);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.DecideAsync(user, id));

        Assert.Equal(stored, (await cluster.OtherSilo.ReadAsync(id))!.Status);
        Assert.Equal(stored is OperationStatus.Pending, (await cluster.OtherSilo.ListAsync(user)).Contains(id));

        Assert.Equal(outcome, await cluster.OtherSilo.DecideAsync(user, id, Verdict.Deny));
    }

    [SkippableTheory]
    [InlineData(FailedWrite.BeforeItsCommit)]
    [InlineData(FailedWrite.AfterItsCommit)]
    public async Task A_decision_repeated_after_a_failed_write_is_done_and_durable(FailedWrite moment)
    {
        await cluster.OneSilo.CreateAsync(user, id);
        cluster.Storage.FailNextWrite(Operation, moment);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.DecideAsync(user, id));

        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.DecideAsync(user, id));

        await cluster.DeactivateAsync(Operation, User);
        Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(id))!.Status);
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task Nobody_sees_a_decision_before_it_is_durable()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        using var held = cluster.Storage.HoldNextWrite(Operation);
        var decision = cluster.OneSilo.DecideAsync(user, id);
        await held.Reached;

        Assert.All(
            await Task.WhenAll(cluster.OneSilo.ReadAsync(id), cluster.OtherSilo.ReadAsync(id)).WaitAsync(ClusterFixture.Patience),
            seen => Assert.Equal((OperationStatus.Pending, null, null), (seen!.Status, seen.DecidedAt, seen.AuthType)));
        Assert.Equal([id], await cluster.OtherSilo.ListAsync(user).WaitAsync(ClusterFixture.Patience));

        held.Dispose();
        Assert.Equal(OperationOutcome.Done, await decision);
        Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(id))!.Status);
    }

    [SkippableFact]
    public async Task An_operation_that_another_activation_created_first_stands_and_the_next_is_a_duplicate()
    {
        // Memory says that there is none; then a row appears behind its back.
        Assert.Null(await Operation.GetAsync());
        await cluster.RewriteAsync<OperationState>(Operation, "operation", _ => OperationState.Create(new(Journey.Customer, user), Journey.RequestOf(id), 1_000_000_007, "node-9", cluster.Clock.GetUtcNow()));

        var outcome = await GrainRetry.CallAsync(TimeProvider.System, () => cluster.OneSilo.CreateAsync(otherUser, id));

        Assert.Equal(OperationOutcome.Duplicate, outcome);
        var operation = await cluster.OtherSilo.ReadAsync(id);
        Assert.Equal((user, "node-9"), (operation!.UserId, operation.NodeId));
        Assert.DoesNotContain(id, await cluster.OtherSilo.ListAsync(otherUser));
    }

    [SkippableFact]
    public async Task A_decision_that_another_activation_wrote_first_stands()
    {
        await cluster.OneSilo.CreateAsync(user, id);

        // Memory says that it is pending; then the row changes behind its back.
        Assert.Equal(OperationStatus.Pending, (await Operation.GetAsync())!.Status);
        var denial = new Decision { UserId = user, Verdict = Verdict.Deny, AuthType = AuthType.Pin };
        await cluster.RewriteAsync<OperationState>(Operation, "operation", state => state.Decide(denial, cluster.Clock.GetUtcNow()).Next);

        Assert.Equal(OperationOutcome.AlreadyDecided, await cluster.OneSilo.DecideAsync(user, id));

        Assert.Equal(OperationStatus.Denied, (await cluster.OtherSilo.ReadAsync(id))!.Status);
        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
    }

    private async Task AssertPendingOnceAsync()
    {
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
        await cluster.DeactivateAsync(Operation, User);
        Assert.Equal([id], await cluster.OtherSilo.ListAsync(user));
        var operation = await cluster.OtherSilo.ReadAsync(id);
        Assert.Equal((user, OperationStatus.Pending), (operation!.UserId, operation.Status));
    }
}
