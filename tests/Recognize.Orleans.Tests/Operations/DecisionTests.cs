using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection("SQLite")]
public sealed class DecisionsOnSqlite(SqliteService fixture) : DecisionTests(fixture);

[Collection("PostgreSQL")]
public sealed class DecisionsOnPostgreSql(PostgreSqlService fixture) : DecisionTests(fixture);

[Collection("SQL Server")]
public sealed class DecisionsOnSqlServer(SqlServerService fixture) : DecisionTests(fixture);

public abstract class DecisionTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableTheory]
    [InlineData("approve", "approved")]
    [InlineData("deny", "denied")]
    public async Task The_same_decision_again_is_200_and_changes_nothing(string decision, string status)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id, "payload")).ShouldBeSuccess();
        (await api.DecideAsync(id, user, decision)).ShouldBeSuccess();
        var first = (await api.ReadAsync(id)).ShouldBe(200);

        (await api.DecideAsync(id, user, decision)).ShouldBeSuccess();
        (await api.DecideAsync(id, user, decision, payload: "payload")).ShouldBeSuccess();

        Assert.Equal(first.Body, (await api.ReadAsync(id)).Body);
        Assert.Equal(status, first.Json.GetProperty("status").GetString());
    }

    [SkippableTheory]
    [InlineData("approve", "pin", "deny", "pin")]
    [InlineData("deny", "pin", "approve", "pin")]
    [InlineData("approve", "pin", "approve", "biom")]
    public async Task A_different_decision_after_the_first_is_409_and_changes_nothing(string decision, string authType, string second, string secondAuthType)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        (await api.DecideAsync(id, user, decision, authType)).ShouldBeSuccess();
        var first = (await api.ReadAsync(id)).Body;

        (await api.DecideAsync(id, user, second, secondAuthType)).ShouldBe(OperationProblems.AlreadyDecided, "decision");

        Assert.Equal(first, (await api.ReadAsync(id)).Body);
    }

    [SkippableFact]
    public async Task A_decision_of_another_user_is_400_and_changes_nothing()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.DecideAsync(id, ApiClient.NewUser())).ShouldBe(OperationProblems.WrongUser, "userId");

        Assert.Equal([id], await api.PendingIdsAsync(user));
    }

    [SkippableTheory]
    [InlineData("Payload")]
    [InlineData("payload ")]
    [InlineData("")]
    public async Task A_decision_about_another_payload_is_400_and_changes_nothing(string payload)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id, "payload")).ShouldBeSuccess();

        (await api.DecideAsync(id, user, payload: payload)).ShouldBe(OperationProblems.PayloadMismatch, "operationPayload");

        Assert.Equal([id], await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task A_payload_that_an_operation_does_not_have_is_a_different_one()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.DecideAsync(id, user, payload: "payload")).ShouldBe(OperationProblems.PayloadMismatch);
    }

    [SkippableTheory]
    [InlineData("biom", "pin")]
    [InlineData("pin", "biom")]
    public async Task An_operation_is_decided_the_way_it_demands(string demanded, string other)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id, authType: demanded)).ShouldBeSuccess();
        Assert.Equal($$"""[{"operationId":"{{id}}","authType":"{{demanded}}"}]""", (await api.ListAsync(user)).Body);
        Assert.Equal(demanded, (await api.ReadAsync(id)).Json.GetProperty("authType").GetString());

        (await api.DecideAsync(id, user, "approve", other)).ShouldBe(OperationProblems.AuthTypeNotAllowed, "authType");
        (await api.DecideAsync(id, user, "deny", other)).ShouldBe(OperationProblems.AuthTypeNotAllowed, "authType");
        Assert.Equal([id], await api.PendingIdsAsync(user));

        (await api.DecideAsync(id, user, "approve", demanded)).ShouldBeSuccess();
    }
}
