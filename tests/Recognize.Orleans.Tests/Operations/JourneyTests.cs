using System.Globalization;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection("SQLite")]
public sealed class JourneysOnSqlite(SqliteService fixture) : JourneyTests(fixture);

[Collection("PostgreSQL")]
public sealed class JourneysOnPostgreSql(PostgreSqlService fixture) : JourneyTests(fixture);

[Collection("SQL Server")]
public sealed class JourneysOnSqlServer(SqlServerService fixture) : JourneyTests(fixture);

public abstract class JourneyTests(ServiceFixture fixture)
{
    private const string TimePattern = @"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}$";

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableFact]
    public async Task An_approved_operation_goes_from_the_pending_list_to_its_result()
    {
        var backend = new ApiClient(fixture.Service.Api, TestCustomers.AcmeOperations);
        var approver = new ApiClient(fixture.Service.Api, TestCustomers.AcmeDecisions);
        const string Payload = "Approve wire transfer of $500 to account 1234";

        (await backend.CreateAsync(user, id, Payload, "custom-name@example.com")).ShouldBeSuccess();

        var list = (await approver.ListAsync(user)).ShouldBe(200);
        Assert.Equal($$"""[{"operationId":"{{id}}","operationPayload":"{{Payload}}","externalUserId":"custom-name@example.com"}]""", list.Body);
        var pending = (await backend.ReadAsync(id)).ShouldBe(200).Json;
        Assert.Equal(
            ["apiKey", "externalUserId", "id", "nodeId", "operationId", "operationPayload", "result", "state", "status", "timestamp", "userId"],
            Answer.MembersOf(pending));
        Assert.Equal("pending", pending.GetProperty("state").GetString());
        Assert.Equal("pending", pending.GetProperty("status").GetString());
        Assert.False(pending.GetProperty("result").GetBoolean());

        (await approver.DecideAsync(id, user, "approve", "biom", Payload)).ShouldBeSuccess();

        Assert.Equal("[]", (await backend.ListAsync(user)).Body);
        var approved = (await backend.ReadAsync(id)).ShouldBe(200).Json;
        Assert.Equal(
            ["apiKey", "authType", "decidedAt", "externalUserId", "id", "nodeId", "operationId", "operationPayload", "result", "state", "status", "timestamp", "userId"],
            Answer.MembersOf(approved));
        Assert.Equal("approved", approved.GetProperty("state").GetString());
        Assert.Equal("approved", approved.GetProperty("status").GetString());
        Assert.True(approved.GetProperty("result").GetBoolean());
        Assert.Equal("biom", approved.GetProperty("authType").GetString());
        Assert.Equal(pending.GetProperty("timestamp").GetString(), approved.GetProperty("timestamp").GetString());
        Assert.Equal(pending.GetProperty("id").GetInt64(), approved.GetProperty("id").GetInt64());
    }

    [SkippableFact]
    public async Task A_denied_operation_stays_pending_for_the_old_members_and_tells_the_truth_in_the_new_ones()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.DecideAsync(id, user, "deny")).ShouldBeSuccess();

        Assert.Equal("[]", (await api.ListAsync(user)).Body);
        var denied = (await api.ReadAsync(id)).ShouldBe(200).Json;
        Assert.Equal("pending", denied.GetProperty("state").GetString());
        Assert.False(denied.GetProperty("result").GetBoolean());
        Assert.Equal("denied", denied.GetProperty("status").GetString());
        Assert.Matches(TimePattern, denied.GetProperty("decidedAt").GetString());
        Assert.Equal("pin", denied.GetProperty("authType").GetString());
    }

    [SkippableFact]
    public async Task An_operation_shows_who_made_it_when_and_where()
    {
        var api = fixture.Service.Acme;
        var before = DateTime.UtcNow;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        var after = DateTime.UtcNow;

        var answer = (await api.ReadAsync(id)).ShouldBe(200);
        var operation = answer.Json;

        Assert.Equal("application/json", answer["Content-Type"]);
        Assert.Equal(["apiKey", "id", "nodeId", "operationId", "result", "state", "status", "timestamp", "userId"], Answer.MembersOf(operation));
        Assert.Equal(user, operation.GetProperty("userId").GetString());
        Assert.Equal(id, operation.GetProperty("operationId").GetString());
        Assert.Equal(TestCustomers.AcmeSdkKey, operation.GetProperty("apiKey").GetString());
        Assert.Equal(TestService.NodeName, operation.GetProperty("nodeId").GetString());
        Assert.InRange(operation.GetProperty("id").GetInt64(), 1, (1L << 53) - 1);
        var timestamp = operation.GetProperty("timestamp").GetString()!;
        Assert.Matches(TimePattern, timestamp);
        var created = DateTime.ParseExact(timestamp, "yyyy-MM-dd'T'HH:mm:ss.fff", CultureInfo.InvariantCulture);
        Assert.InRange(created, before.AddMilliseconds(-1), after);
    }

    [SkippableFact]
    public async Task Operations_have_different_numbers_and_are_listed_in_the_order_of_their_creation()
    {
        var api = fixture.Service.Acme;
        string[] ids = [$"{id}-c", $"{id}-a", $"{id}-b"];
        await api.CreateInOrderAsync(user, ids);

        Assert.Equal(ids, await api.PendingIdsAsync(user));
        var numbers = new HashSet<long>();
        Assert.All(ids, each => Assert.True(numbers.Add(api.ReadAsync(each).Result.Json.GetProperty("id").GetInt64())));
    }

    [SkippableFact]
    public async Task A_user_nobody_has_asked_anything_has_an_empty_list()
    {
        var list = (await fixture.Service.Acme.ListAsync(user)).ShouldBe(200);

        Assert.Equal("[]", list.Body);
        Assert.Equal("application/json", list["Content-Type"]);
        Assert.Equal("no-store", list["Cache-Control"]);
    }

    [SkippableFact]
    public async Task An_operation_that_nobody_created_is_not_found()
    {
        var api = fixture.Service.Acme;

        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound, "operationId");
        (await api.DecideAsync(id, user)).ShouldBe(OperationProblems.NotFound, "operationId");
    }

    [SkippableFact]
    public async Task A_second_create_is_refused_whoever_the_user_is_and_whatever_became_of_the_first()
    {
        var api = fixture.Service.Acme;
        var other = ApiClient.NewUser();
        (await api.CreateAsync(user, id, "first")).ShouldBeSuccess();

        (await api.CreateAsync(user, id, "first")).ShouldBe(OperationProblems.Exists, "operationId");
        (await api.CreateAsync(other, id, "second")).ShouldBe(OperationProblems.Exists, "operationId");
        (await api.DecideAsync(id, user)).ShouldBeSuccess();
        (await api.CreateAsync(user, id, "first")).ShouldBe(OperationProblems.Exists, "operationId");

        Assert.Equal("first", (await api.ReadAsync(id)).Json.GetProperty("operationPayload").GetString());
        Assert.Equal("[]", (await api.ListAsync(other)).Body);
    }

    [SkippableFact]
    public async Task Customers_never_see_block_or_count_each_other()
    {
        var acme = fixture.Service.Acme;
        var globex = new ApiClient(fixture.Service.Api, TestCustomers.GlobexBoth);
        (await acme.CreateAsync(user, id, "acme's")).ShouldBeSuccess();

        (await globex.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
        (await globex.DecideAsync(id, user)).ShouldBe(OperationProblems.NotFound);
        Assert.Equal("[]", (await globex.ListAsync(user)).Body);

        (await globex.CreateAsync(user, id, "globex's")).ShouldBeSuccess();
        (await globex.DecideAsync(id, user)).ShouldBeSuccess();

        var untouched = (await acme.ReadAsync(id)).Json;
        Assert.Equal("acme's", untouched.GetProperty("operationPayload").GetString());
        Assert.Equal("pending", untouched.GetProperty("status").GetString());
        Assert.Equal([id], await acme.PendingIdsAsync(user));
        Assert.Equal(TestCustomers.GlobexSdkKey, (await globex.ReadAsync(id)).Json.GetProperty("apiKey").GetString());
    }
}
