using System.Text;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection("SQLite")]
public sealed class NegotiationOnSqlite(SqliteService fixture) : NegotiationTests(fixture);

[Collection("PostgreSQL")]
public sealed class NegotiationOnPostgreSql(PostgreSqlService fixture) : NegotiationTests(fixture);

[Collection("SQL Server")]
public sealed class NegotiationOnSqlServer(SqlServerService fixture) : NegotiationTests(fixture);

public abstract class NegotiationTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableFact]
    public async Task A_client_that_does_not_accept_json_gets_406_from_every_call_and_nothing_happens()
    {
        var api = fixture.Service.Acme;
        (string, string) html = ("Accept", "text/html");

        (await api.CreateAsync(user, Body(), html)).ShouldBe(Problem.NotAcceptable, "Accept");
        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);

        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        (await api.GetAsync($"/v2/users/{user}/operations/pending", html)).ShouldBe(Problem.NotAcceptable, "Accept");
        (await api.GetAsync($"/v2/operations/{id}", html)).ShouldBe(Problem.NotAcceptable, "Accept");
        var decision = ApiClient.Object(("userId", user), ("decision", "approve"), ("authType", "pin"));
        (await api.PostAsync($"/v2/operations/{id}/decision", decision, html)).ShouldBe(Problem.NotAcceptable, "Accept");
        Assert.Equal([id], await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task Several_accept_headers_are_one_list()
    {
        var api = fixture.Service.Acme;

        var answer = await api.SendRawAsync("GET", $"/v2/users/{user}/operations/pending", null, ("Accept", "text/html"), ("Accept", "application/json;q=0.1"));

        answer.ShouldBe(200);
    }

    [SkippableTheory]
    [InlineData("application/json")]
    [InlineData("Application/JSON")]
    [InlineData("application/json;charset=utf-8")]
    [InlineData("application/json; charset=\"UTF-8\"")]
    [InlineData("application/json; v=2")]
    public async Task A_body_of_json_in_utf8_is_taken(string contentType) =>
        (await fixture.Service.Acme.CreateAsync(user, Body(), ("Content-Type", contentType))).ShouldBeSuccess();

    [SkippableTheory]
    [InlineData("text/plain")]
    [InlineData("application/*")]
    [InlineData("*/*")]
    [InlineData("application/problem+json")]
    [InlineData("application/jsonx")]
    [InlineData("application/json; charset=utf-16")]
    [InlineData("application/json; charset=iso-8859-1")]
    [InlineData("application/x-www-form-urlencoded")]
    [InlineData("json")]
    [InlineData("")]
    public async Task A_body_of_anything_else_is_415_and_nothing_happens(string contentType)
    {
        var api = fixture.Service.Acme;

        (await api.CreateAsync(user, Body(), ("Content-Type", contentType))).ShouldBe(Problem.UnsupportedMediaType, "Content-Type");

        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
    }

    [SkippableFact]
    public async Task A_body_without_a_type_is_415()
    {
        var request = RawHttp.Request("POST", $"/v2/users/{user}/operations", [("Host", "localhost"), ("X-Api-Key", TestCustomers.AcmeBoth)], Body());

        (await RawHttp.SendAsync(fixture.Service.Api, request)).ShouldBe(Problem.UnsupportedMediaType, "Content-Type");
    }

    [SkippableFact]
    public async Task A_compressed_body_is_415() =>
        (await fixture.Service.Acme.CreateAsync(user, Body(), ("Content-Encoding", "gzip"))).ShouldBe(Problem.UnsupportedMediaType, "Content-Encoding");

    [SkippableFact]
    public async Task A_decision_of_another_type_is_415()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.SendRawAsync("POST", $"/v2/operations/{id}/decision", Body(), ("Content-Type", "text/plain"))).ShouldBe(Problem.UnsupportedMediaType);
    }

    [SkippableTheory]
    [InlineData("GET", "/v2")]
    [InlineData("GET", "/v2/")]
    [InlineData("GET", "/v2/operations")]
    [InlineData("GET", "/v2/operations/")]
    [InlineData("GET", "/v2/operations/a/b")]
    [InlineData("GET", "/v2/users//operations/pending")]
    [InlineData("GET", "/v2/users/A1")]
    [InlineData("POST", "/v2/operations//decision")]
    public async Task A_path_that_names_no_route_is_404(string method, string target)
    {
        var answer = await fixture.Service.Acme.SendRawAsync(method, target);

        answer.ShouldBe(Problem.RouteNotFound);
        Assert.Equal("no-store", answer["Cache-Control"]);
    }

    [SkippableTheory]
    [InlineData("DELETE", "/v2/operations/x", "GET, HEAD")]
    [InlineData("PUT", "/v2/users/A1/operations", "GET, HEAD, POST")]
    [InlineData("DELETE", "/v2/users/A1/operations", "GET, HEAD, POST")]
    [InlineData("GET", "/v2/operations/A1/cancel", "POST")]
    [InlineData("POST", "/v2/users/A1/operations/events", "GET, HEAD")]
    [InlineData("POST", "/v2/users/A1/operations/pending", "GET, HEAD")]
    [InlineData("GET", "/v2/operations/x/decision", "POST")]
    [InlineData("BREW", "/v2/operations/x", "GET, HEAD")]
    public async Task A_method_that_a_path_does_not_know_is_405(string method, string target, string allowed)
    {
        var answer = await fixture.Service.Acme.SendRawAsync(method, target);

        answer.ShouldBe(Problem.MethodNotAllowed, allowed);
        Assert.Equal(allowed, answer["Allow"]);
        Assert.Equal("no-store", answer["Cache-Control"]);
    }

    [SkippableFact]
    public async Task The_query_of_a_request_means_nothing() =>
        (await fixture.Service.Acme.SendRawAsync("GET", $"/v2/users/{user}/operations/pending?operationId=x&userId=y")).ShouldBe(200);

    private byte[] Body() => Encoding.UTF8.GetBytes(ApiClient.Object(("operationId", id)));
}
