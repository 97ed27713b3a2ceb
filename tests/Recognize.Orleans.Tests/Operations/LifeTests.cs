using System.Text;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection("SQLite")]
public sealed class LifeOnSqlite(SqliteService fixture) : LifeTests(fixture);

[Collection("PostgreSQL")]
public sealed class LifeOnPostgreSql(PostgreSqlService fixture) : LifeTests(fixture);

[Collection("SQL Server")]
public sealed class LifeOnSqlServer(SqlServerService fixture) : LifeTests(fixture);

// Deadline, cancel and reasons as a client meets them.
public abstract class LifeTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableTheory]
    [InlineData("4")]
    [InlineData("86401")]
    [InlineData("-5")]
    [InlineData("5.5")]
    [InlineData("99999999999999999999")]
    [InlineData("\"300\"")]
    [InlineData("true")]
    public async Task A_lifetime_that_is_not_5_to_86400_whole_seconds_is_400_and_creates_nothing(string expiresIn)
    {
        var api = fixture.Service.Acme;

        (await CreateAsync(expiresIn)).ShouldBe(Problem.InvalidRequest, "expiresIn must be a whole number of seconds from 5 to 86400.");

        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
    }

    [SkippableTheory]
    [InlineData("5", 5)]
    [InlineData("86400", 86_400)]
    public async Task The_deadline_shows_wherever_the_operation_does(string expiresIn, int seconds)
    {
        var api = fixture.Service.Acme;
        (await CreateAsync(expiresIn)).ShouldBeSuccess();

        var operation = (await api.ReadAsync(id)).ShouldBe(200).Json;

        Assert.Equal(operation.GetProperty("timestamp").GetDateTime().AddSeconds(seconds), operation.GetProperty("expiresAt").GetDateTime());
        Assert.Equal(operation.GetProperty("expiresAt").GetString(), (await api.ListAsync(user)).Json[0].GetProperty("expiresAt").GetString());
    }

    [SkippableFact]
    public async Task A_lifetime_of_null_is_none()
    {
        (await CreateAsync("null")).ShouldBeSuccess();

        Assert.False((await fixture.Service.Acme.ReadAsync(id)).Json.TryGetProperty("expiresAt", out _));
    }

    [SkippableFact]
    public async Task A_cancelled_operation_says_so_and_why_while_state_keeps_to_the_contract()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.CancelAsync(id, """{"reason":"ordered twice"}""")).ShouldBeSuccess();
        (await api.CancelAsync(id, """{"reason":"again"}""")).ShouldBeSuccess();

        var operation = (await api.ReadAsync(id)).Json;
        Assert.Equal(("cancelled", "ordered twice"), (operation.GetProperty("status").GetString(), operation.GetProperty("reason").GetString()));
        Assert.Equal(("pending", false), (operation.GetProperty("state").GetString(), operation.GetProperty("result").GetBoolean()));
        Assert.Equal(24 - 1, operation.GetProperty("decidedAt").GetString()!.Length);
        Assert.Empty(await api.PendingIdsAsync(user));
        (await api.DecideAsync(id, user)).ShouldBe(OperationProblems.Cancelled);
    }

    [SkippableTheory]
    [InlineData("approve", "approved it")]
    [InlineData("deny", "denied it")]
    public async Task What_is_decided_cannot_be_cancelled_and_the_answer_says_how_it_was_decided(string decision, string told)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        (await api.DecideAsync(id, user, decision)).ShouldBeSuccess();

        (await api.CancelAsync(id, "{}")).ShouldBe(OperationProblems.AlreadyDecided, told);
    }

    [SkippableFact]
    public async Task A_cancel_needs_the_scope_operations_and_an_operation()
    {
        (await new ApiClient(fixture.Service.Api, TestCustomers.AcmeDecisions).CancelAsync(id, "{}")).ShouldBe(Problem.ScopeMissing);
        (await fixture.Service.Acme.CancelAsync(id, "{}")).ShouldBe(OperationProblems.NotFound);
    }

    [SkippableFact]
    public async Task A_cancel_needs_no_body()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        (await api.CreateAsync(user, $"{id}-2")).ShouldBeSuccess();
        (await api.CreateAsync(user, $"{id}-3")).ShouldBeSuccess();

        (await api.SendRawAsync("POST", $"/v2/operations/{id}/cancel")).ShouldBeSuccess();
        (await api.SendRawAsync("POST", $"/v2/operations/{id}-2/cancel", null, ("Content-Length", "0"), ("Content-Type", "application/json"))).ShouldBeSuccess();
        (await api.CancelAsync($"{id}-3", "{}")).ShouldBeSuccess();

        Assert.Empty(await api.PendingIdsAsync(user));
        var operation = (await api.ReadAsync(id)).Json;
        Assert.Equal("cancelled", operation.GetProperty("status").GetString());
        Assert.False(operation.TryGetProperty("reason", out _));
    }

    [SkippableTheory]
    [InlineData("text/plain", "{}")]
    [InlineData("application/x-www-form-urlencoded", "")]
    [InlineData("", "{}")]
    public async Task A_cancel_with_a_body_that_is_not_said_to_be_json_is_415_and_changes_nothing(string type, string body)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.SendRawAsync("POST", $"/v2/operations/{id}/cancel", Encoding.UTF8.GetBytes(body), ("Content-Type", type))).ShouldBe(Problem.UnsupportedMediaType);

        Assert.Equal([id], await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task Only_a_cancel_needs_no_body()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.SendRawAsync("POST", $"/v2/operations/{id}/decision")).ShouldBe(Problem.UnsupportedMediaType);
        (await api.SendRawAsync("POST", $"/v2/users/{user}/operations")).ShouldBe(Problem.UnsupportedMediaType);
    }

    [SkippableTheory]
    [InlineData("[]", "object")]
    [InlineData("""{"reason":5}""", "reason")]
    [InlineData("""{"reason":"a\u0000b"}""", "reason")]
    public async Task A_cancel_that_breaks_a_rule_is_400_and_changes_nothing(string body, string named)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.CancelAsync(id, body)).ShouldBe(Problem.InvalidRequest, named);
        (await api.CancelAsync(id, ApiClient.Object(("reason", new string('r', OperationLimits.Reason + 1))))).ShouldBe(Problem.InvalidRequest, "reason");

        Assert.Equal([id], await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task A_denial_may_say_why_and_an_approval_may_not()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await DecideAsync("approve", "sure")).ShouldBe(Problem.InvalidRequest, "reason");
        (await DecideAsync("deny", "I did not order this é\U0001F600")).ShouldBeSuccess();

        Assert.Equal("I did not order this é\U0001F600", (await api.ReadAsync(id)).Json.GetProperty("reason").GetString());
    }

    private Task<Answer> CreateAsync(string expiresIn) =>
        fixture.Service.Acme.CreateAsync(user, Encoding.UTF8.GetBytes($$"""{"operationId":"{{id}}","expiresIn":{{expiresIn}}}"""));

    private Task<Answer> DecideAsync(string decision, string reason) => fixture.Service.Acme.PostAsync(
        $"/v2/operations/{id}/decision",
        ApiClient.Object(("userId", user), ("decision", decision), ("authType", "pin"), ("reason", reason)));
}
