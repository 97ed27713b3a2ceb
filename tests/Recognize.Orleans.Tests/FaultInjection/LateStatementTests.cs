using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Processes;
using Xunit;

namespace Recognize.Orleans.FaultInjection;

// A statement is on its way when its connection, its session or its silo is lost, and arrives when everybody has been told something else.
[Collection(MeasuredProcesses.Name)]
public sealed class LateStatementTests
{
    private const string User = "A1";

    private readonly string id = ApiClient.NewId();

    [SkippableFact]
    public async Task An_approval_that_reaches_the_database_after_the_deadline_changes_nothing_that_was_told()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var proxy = new DatabaseProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString));
        var client = new ApiClient(service.ApiUrl, ServiceProcess.Key);
        (await client.CreateExpiringAsync(User, id, 5)).ShouldBeSuccess();
        var approval = proxy.HoldNext(id, "\"approved\"");

        var decision = client.DecideAsync(id, User);
        await approval.Caught;
        approval.Cut();
        (await decision).ShouldBe(503);
        await AssertToldAsync("expired", client, await client.WaitAsync(id));
        await approval.DeliverAsync();

        await AssertToldAsync("expired", client, await client.ReadAsync(id));
        await service.KillAsync();
        await using var next = await ServiceProcess.StartInPlaceOfAsync(service, database);
        await AssertToldAsync("expired", client, await client.ReadAsync(id));
        Assert.Equal("expired", await StoredAsync(database));
    }

    [SkippableFact]
    public async Task An_approval_that_reaches_the_database_before_anybody_was_told_of_the_deadline_is_told_by_everybody()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var proxy = new DatabaseProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString));
        var client = new ApiClient(service.ApiUrl, ServiceProcess.Key);
        (await client.CreateExpiringAsync(User, id, 60)).ShouldBeSuccess();
        var approval = proxy.HoldNext(id, "\"approved\"");

        var decision = client.DecideAsync(id, User);
        await approval.Caught;
        approval.Cut();
        (await decision).ShouldBe(503);
        await approval.DeliverAsync();

        await AssertToldAsync("approved", client, await client.WaitAsync(id, 6));
        (await client.DecideAsync(id, User)).ShouldBeSuccess();
        Assert.Equal("approved", await StoredAsync(database));
    }

    [SkippableFact]
    public async Task An_approval_in_a_session_that_was_frozen_changes_nothing_that_was_told_after_its_silo_was_killed()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var proxy = new DatabaseProxy(database);
        await using var killed = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString));
        var client = new ApiClient(killed.ApiUrl, ServiceProcess.Key);
        (await client.CreateExpiringAsync(User, id, 5)).ShouldBeSuccess();
        var approval = proxy.HoldNext(id, "\"approved\"");
        var decision = client.DecideAsync(id, User);
        await approval.Caught;
        await using var session = await FrozenSession.OfAsync(database, approval.ServerPort);

        // The statement lies in the socket of a session that stands still; its client is gone before it goes on.
        var done = approval.DeliverAsync();
        await killed.KillAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => decision);
        await using var service = await ServiceProcess.StartInPlaceOfAsync(killed, database);
        await AssertToldAsync("expired", client, await client.WaitAsync(id));
        await session.ThawAsync();
        await done;

        await AssertToldAsync("expired", client, await client.ReadAsync(id));
        Assert.Equal("expired", await StoredAsync(database));
    }

    [SkippableFact]
    public async Task A_create_that_arrives_late_and_is_sent_again_is_on_the_list_and_is_heard_of_by_who_waits()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var proxy = new DatabaseProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString));
        var client = new ApiClient(service.ApiUrl, ServiceProcess.Key);
        var creation = proxy.HoldNext(id, "\"pending\"");

        var create = client.CreateAsync(User, id, idempotencyKey: "attempt-1");
        await creation.Caught;
        creation.Cut();
        (await create).ShouldBe(503);
        var empty = (await client.ListAsync(User)).ShouldBe(200);
        Assert.Empty(empty.Json.EnumerateArray());
        var phone = client.GetAsync($"/v2/users/{User}/operations/pending", ("If-None-Match", empty["ETag"]!), ("Prefer", "wait=20"));
        await creation.DeliverAsync();

        (await client.CreateAsync(User, id, idempotencyKey: "attempt-1")).ShouldBeSuccess();

        Assert.Equal([id], await client.PendingIdsAsync(User));
        Assert.Equal(id, Assert.Single((await phone).ShouldBe(200).Json.EnumerateArray()).GetProperty("operationId").GetString());
        Assert.Equal([id], await service.HistoryAsync(User));
        Assert.Equal("pending", await StoredAsync(database));
    }

    [SkippableFact]
    public async Task A_create_that_arrives_late_and_is_never_sent_again_is_on_the_list_as_soon_as_it_is_there()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var proxy = new DatabaseProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString));
        var client = new ApiClient(service.ApiUrl, ServiceProcess.Key);
        var creation = proxy.HoldNext(id, "\"pending\"");
        var create = client.CreateAsync(User, id);
        await creation.Caught;
        creation.Cut();
        (await create).ShouldBe(503);
        Assert.Empty(await client.PendingIdsAsync(User));

        await creation.DeliverAsync();

        Assert.Equal([id], await client.PendingIdsAsync(User));
        Assert.Equal([id], await service.HistoryAsync(User));
        (await client.ReadAsync(id)).ShouldBe(200);
    }

    private async Task AssertToldAsync(string status, ApiClient client, Answer read)
    {
        Assert.Equal(status, read.ShouldBe(200).Json.GetProperty("status").GetString());
        var told = Assert.Single((await client.GetAsync($"/v2/users/{User}/operations")).ShouldBe(200).Json.GetProperty("operations").EnumerateArray());
        Assert.Equal(status, told.GetProperty("status").GetString());
        Assert.Empty(await client.PendingIdsAsync(User));
        (await client.DecideAsync(id, User, "deny")).ShouldBe(409);
        Assert.Equal(status, (await client.WaitAsync(id)).ShouldBe(200).Json.GetProperty("status").GetString());
    }

    private static async Task<object?> StoredAsync(TestDatabase database) =>
        Assert.Single(await database.QueryAsync("SELECT Status FROM RecognizeOperations"))["status"];
}
