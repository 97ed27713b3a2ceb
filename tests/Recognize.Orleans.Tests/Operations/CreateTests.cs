using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class CreateOnSqlite(SqliteCluster cluster) : CreateTests(cluster);

[Collection(nameof(SqliteStockCluster))]
public sealed class CreateOnSqliteStock(SqliteStockCluster cluster) : CreateTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class CreateOnPostgreSql(PostgreSqlCluster cluster) : CreateTests(cluster);

[Collection(nameof(PostgreSqlStockCluster))]
public sealed class CreateOnPostgreSqlStock(PostgreSqlStockCluster cluster) : CreateTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class CreateOnSqlServer(SqlServerCluster cluster) : CreateTests(cluster);

[Collection(nameof(SqlServerStockCluster))]
public sealed class CreateOnSqlServerStock(SqlServerStockCluster cluster) : CreateTests(cluster);

public abstract class CreateTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string otherUser = Journey.NewUser();
    private readonly string id = Journey.NewId();

    [SkippableFact]
    public async Task What_a_user_was_asked_last_is_refused_again_without_a_look_at_it_for_ten_minutes()
    {
        var (operation, attempt) = (cluster.OneSilo.GetOperation(Journey.Customer, id), "first");
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, id, attempt));
        cluster.Clock.Advance(TimeSpan.FromMinutes(9));

        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, id));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id, attempt));
        Assert.Equal(OperationOutcome.IdempotencyKeyReused, await cluster.OtherSilo.CreateAsync(user, id, attempt, payload: "something else"));
        Assert.Equal(0, cluster.Storage.ReadsOf(operation));

        cluster.Clock.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, id));
        Assert.Equal(1, cluster.Storage.ReadsOf(operation));
    }

    [SkippableFact]
    public async Task Of_many_attempts_to_create_an_id_on_both_silos_exactly_one_is_done()
    {
        var silos = new[] { cluster.OneSilo, cluster.OtherSilo };
        var ids = Enumerable.Range(0, 20).Select(_ => Journey.NewId()).ToList();
        var users = Enumerable.Range(0, 4).Select(_ => Journey.NewUser()).ToList();
        var attempts = from operationId in ids from userId in users from silo in silos select (operationId, userId, silo);

        var outcomes = await Task.WhenAll(attempts.Select(attempt => Task.Run(async () =>
            (attempt.operationId, attempt.userId, Outcome: await attempt.silo.CreateAsync(attempt.userId, attempt.operationId)))));

        var done = outcomes.Where(outcome => outcome.Outcome is OperationOutcome.Done).ToList();
        Assert.Equal(ids.Order(), done.Select(outcome => outcome.operationId).Order());
        Assert.Equal(outcomes.Length - ids.Count, outcomes.Count(outcome => outcome.Outcome is OperationOutcome.Duplicate or OperationOutcome.PendingLimitReached));
        var listed = await Task.WhenAll(users.Select(async userId => (userId, Ids: await cluster.OneSilo.ListAsync(userId))));
        Assert.Equal(
            done.Select(outcome => (outcome.userId, outcome.operationId)).Order(),
            listed.SelectMany(list => list.Ids.Select(operationId => (list.userId, operationId))).Order());
    }

    [SkippableFact]
    public async Task What_was_sent_is_stored_and_given_back_to_the_character()
    {
        var request = Journey.RequestOf(user, payload: "a\0b\"\\\u2028\U0001F600 e\u0301") with { ExternalUserId = "älice/'", AuthType = AuthType.Pin };
        var operation = cluster.OneSilo.GetOperation(Journey.Customer, id);
        await operation.CreateAsync(request);
        await cluster.DeactivateAsync(operation, cluster.OneSilo.GetUser(Journey.Customer, user));

        var read = await cluster.OtherSilo.ReadAsync(id);

        Assert.Equal(
            (id, user, request.Payload, request.ExternalUserId, AuthType.Pin, OperationStatus.Pending, cluster.Clock.GetUtcNow()),
            (read!.OperationId, read.UserId, read.Payload, read.ExternalUserId, read.AuthType, read.Status, read.CreatedAt));
        Assert.Equal(read, Assert.Single(await cluster.OtherSilo.GetUser(Journey.Customer, user).ListPendingAsync()));
    }

    [SkippableFact]
    public async Task Ids_that_look_alike_are_different_operations()
    {
        string[] ids = ["1", "01", "A", "a", "AB", "ab", "é", "e\u0301", "a/b", "a%2Fb", "a ", " a", "a//b", "a+b", "00000000-0000-0000-0000-000000000001", "\U0001F600"];
        var users = ids.Select(_ => Journey.NewUser()).ToList();

        var outcomes = await Task.WhenAll(ids.Zip(users, (operationId, userId) => cluster.OneSilo.CreateAsync(userId, operationId)));
        await cluster.DeactivateAsync([.. ids.Select(operationId => cluster.OneSilo.GetOperation(Journey.Customer, operationId))]);

        Assert.All(outcomes, outcome => Assert.Equal(OperationOutcome.Done, outcome));
        var read = await Task.WhenAll(ids.Select(cluster.OtherSilo.ReadAsync));
        Assert.Equal(ids.Zip(users), read.Select(operation => (operation!.OperationId, operation.UserId)));
        var lists = await Task.WhenAll(users.Select(cluster.OtherSilo.ListAsync));
        Assert.Equal(ids, lists.Select(Assert.Single));
    }

    [SkippableFact]
    public async Task Two_customers_have_equal_ids_and_users_without_seeing_each_other()
    {
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, id));
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.GetOperation("other", id).CreateAsync(Journey.RequestOf(user)));

        await cluster.OneSilo.DecideAsync(user, id);

        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        var theirs = Assert.Single(await cluster.OneSilo.GetUser("other", user).ListPendingAsync());
        Assert.Equal((id, OperationStatus.Pending), (theirs.OperationId, theirs.Status));
    }

    [SkippableFact]
    public async Task The_same_attempt_is_done_on_every_silo_and_after_a_restart_of_its_grain()
    {
        await cluster.OneSilo.CreateAsync(user, id, "attempt-1");

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id, "attempt-1"));
        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(Journey.Customer, id));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id, "attempt-1"));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OneSilo.CreateAsync(user, id, "attempt-2"));
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_refused_duplicate_for_another_user_does_not_enter_that_users_list()
    {
        await cluster.OneSilo.CreateAsync(user, id);

        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(otherUser, id));

        Assert.Empty(await cluster.OneSilo.ListAsync(otherUser));
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task An_operation_that_another_activation_created_is_not_written_over_by_a_create_that_began_before_it()
    {
        var operation = cluster.OneSilo.GetOperation(Journey.Customer, id);
        using var held = cluster.Storage.HoldNextWrite(operation);
        var late = cluster.OneSilo.CreateAsync(otherUser, id);
        await held.Reached;
        await cluster.RewriteAsync<OperationState>(operation, OperationState.Name, _ => OperationState.Create(id, Journey.RequestOf(user), 1_000_000_009, "node-9", cluster.Clock.GetUtcNow()));
        Assert.Equal(user, (await cluster.OtherSilo.ReadAsync(id))!.UserId);

        held.Dispose();

        Assert.Equal(OperationOutcome.Duplicate, await late);
        Assert.Equal(user, (await cluster.OtherSilo.ReadAsync(id))!.UserId);
    }

    [SkippableFact]
    public async Task A_decided_operation_is_never_created_again()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        await cluster.OneSilo.DecideAsync(user, id, Verdict.Deny);
        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(Journey.Customer, id), cluster.OneSilo.GetUser(Journey.Customer, user));

        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, id));

        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
        Assert.Equal(OperationStatus.Denied, (await cluster.OtherSilo.ReadAsync(id))!.Status);
    }

    [SkippableFact]
    public async Task A_create_that_breaks_a_rule_changes_nothing()
    {
        CreateOperation[] requests =
        [
            Journey.RequestOf(user) with { UserId = "nobody" },
            Journey.RequestOf(user) with { Payload = new string('x', OperationLimits.Payload + 1) },
            Journey.RequestOf(user) with { ExternalUserId = "\0" },
            Journey.RequestOf(user) with { IdempotencyKey = " " },
            Journey.RequestOf(user) with { Attempt = "" },
            Journey.RequestOf(user) with { Attempt = "\0" },
            Journey.RequestOf(user) with { AuthType = 0 },
        ];

        var operation = cluster.OneSilo.GetOperation(Journey.Customer, id);
        await Assert.AllAsync(requests, request => Assert.ThrowsAsync<ArgumentException>(() => operation.CreateAsync(request)));

        Assert.Null(await cluster.OneSilo.ReadAsync(id));
        Assert.DoesNotContain(operation.GetPrimaryKeyString(), await cluster.TestDatabase.VersionsAsync());
    }

    [SkippableFact]
    public async Task A_create_that_comes_to_the_operation_first_is_answered_as_one_that_comes_to_the_user()
    {
        var (request, operation) = (Journey.RequestOf(user, payload: "pay 5"), cluster.OneSilo.GetOperation(Journey.Customer, id));

        Assert.Equal(OperationOutcome.Done, await operation.CreateAsync(request));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.GetOperation(Journey.Customer, id).CreateAsync(request));
        Assert.Equal(OperationOutcome.Duplicate, await operation.CreateAsync(Journey.RequestOf(user)));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.GetOperation(Journey.Customer, id).CreateAsync(Journey.RequestOf(Journey.NewUser())));
        Assert.Equal([id], await cluster.OneSilo.ListAsync(user));
        Assert.Equal("pay 5", (await cluster.OtherSilo.ReadAsync(id))!.Payload);
        var more = await Task.WhenAll(Enumerable.Range(0, ClusterFixture.PendingLimit).Select(_ => cluster.OtherSilo.GetOperation(Journey.Customer, Journey.NewId()).CreateAsync(Journey.RequestOf(user))));
        Assert.Single(more, OperationOutcome.PendingLimitReached);
    }

    [SkippableFact]
    public async Task An_operation_whose_grain_was_asked_to_create_it_does_not_stay_in_memory()
    {
        var operation = cluster.OneSilo.GetOperation(Journey.Customer, id);
        var gone = new Observer();
        await operation.AsReference<IWatchedGrain>().WatchAsync(cluster.OneSilo.CreateObjectReference<IChangeObserver>(gone));

        Assert.Equal(OperationOutcome.Done, await operation.CreateAsync(Journey.RequestOf(user)));

        // A create changes nothing that somebody could wait for at its operation: what tells is the end of the activation.
        await gone.Told;
    }

    private sealed class Observer : IChangeObserver
    {
        private readonly TaskCompletionSource told = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Told => told.Task.WaitAsync(ClusterFixture.Patience);

        public Task ChangedAsync(GrainId grain)
        {
            told.TrySetResult();
            return Task.CompletedTask;
        }
    }
}
