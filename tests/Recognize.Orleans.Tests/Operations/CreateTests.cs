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
    public async Task What_a_user_was_asked_last_is_refused_again_without_a_read_for_ten_minutes()
    {
        var (operation, attempt) = (cluster.OneSilo.GetOperation(new(Journey.Customer, id)), "first");
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
        cluster.AdvanceToNextMillisecond();
        var request = Journey.RequestOf(id, payload: "a\0b\"\\\u2028\U0001F600 e\u0301") with { ExternalUserId = "älice/'", AuthType = AuthType.Pin };
        var grain = cluster.OneSilo.GetUser(new(Journey.Customer, user));
        await grain.CreateAsync(request);
        await cluster.DeactivateAsync(grain);

        var read = await cluster.OtherSilo.ReadAsync(id);

        Assert.Equal(
            (id, user, request.Payload, request.ExternalUserId, AuthType.Pin, OperationStatus.Pending, cluster.Clock.GetUtcNow()),
            (read!.OperationId, read.UserId, read.Payload, read.ExternalUserId, read.AuthType, read.Status, read.CreatedAt));
        Assert.Equal(read, Assert.Single(await cluster.OtherSilo.GetUser(new(Journey.Customer, user)).ListPendingAsync()));
    }

    [SkippableFact]
    public async Task Ids_that_look_alike_are_different_operations()
    {
        string[] ids = ["1", "01", "A", "a", "AB", "ab", "é", "e\u0301", "a/b", "a%2Fb", "a ", " a", "a//b", "a+b", "00000000-0000-0000-0000-000000000001", "\U0001F600"];
        var users = ids.Select(_ => Journey.NewUser()).ToList();

        var outcomes = await Task.WhenAll(ids.Zip(users, (operationId, userId) => cluster.OneSilo.CreateAsync(userId, operationId)));
        await cluster.DeactivateAsync([.. ids.Select(operationId => cluster.OneSilo.GetOperation(new(Journey.Customer, operationId)))]);

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
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.GetUser(new("other", user)).CreateAsync(Journey.RequestOf(id)));

        await cluster.OneSilo.DecideAsync(user, id);

        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        var theirs = Assert.Single(await cluster.OneSilo.GetUser(new("other", user)).ListPendingAsync());
        Assert.Equal((id, OperationStatus.Pending), (theirs.OperationId, theirs.Status));
    }

    [SkippableFact]
    public async Task The_same_attempt_is_done_on_every_silo_and_after_a_restart_of_its_grain()
    {
        await cluster.OneSilo.CreateAsync(user, id, "attempt-1");

        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id, "attempt-1"));
        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(new(Journey.Customer, id)));
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
        var operation = cluster.OneSilo.GetOperation(new(Journey.Customer, id));
        using var held = cluster.Storage.HoldNextWrite(operation);
        var late = cluster.OneSilo.CreateAsync(otherUser, id);
        await held.Reached;
        await cluster.RewriteAsync<OperationState>(operation, OperationState.Name, _ => OperationState.Create(new(Journey.Customer, user), Journey.RequestOf(id), 1_000_000_009, "node-9", cluster.Clock.GetUtcNow()));
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
        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(new(Journey.Customer, id)), cluster.OneSilo.GetUser(new(Journey.Customer, user)));

        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, id));

        Assert.Empty(await cluster.OtherSilo.ListAsync(user));
        Assert.Equal(OperationStatus.Denied, (await cluster.OtherSilo.ReadAsync(id))!.Status);
    }

    [SkippableFact]
    public async Task A_create_that_breaks_a_rule_changes_nothing()
    {
        CreateOperation[] requests =
        [
            Journey.RequestOf(".."),
            Journey.RequestOf(id) with { Payload = new string('x', OperationLimits.Payload + 1) },
            Journey.RequestOf(id) with { ExternalUserId = "\0" },
            Journey.RequestOf(id) with { IdempotencyKey = " " },
            Journey.RequestOf(id) with { Attempt = "" },
            Journey.RequestOf(id) with { Attempt = "\0" },
            Journey.RequestOf(id) with { AuthType = 0 },
        ];

        var grain = cluster.OneSilo.GetUser(new(Journey.Customer, user));
        await Assert.AllAsync(requests, request => Assert.ThrowsAsync<ArgumentException>(() => grain.CreateAsync(request)));

        Assert.Null(await cluster.OneSilo.ReadAsync(id));
        Assert.DoesNotContain(new OperationKey(Journey.Customer, id).ToString(), await cluster.TestDatabase.VersionsAsync());
    }
}
