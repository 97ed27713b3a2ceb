using System.Text;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection("SQLite")]
public sealed class AuthenticationOnSqlite(SqliteService fixture) : AuthenticationTests(fixture);

[Collection("PostgreSQL")]
public sealed class AuthenticationOnPostgreSql(PostgreSqlService fixture) : AuthenticationTests(fixture);

[Collection("SQL Server")]
public sealed class AuthenticationOnSqlServer(SqlServerService fixture) : AuthenticationTests(fixture);

public abstract class AuthenticationTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();

    [SkippableTheory]
    [InlineData("GET", "/v2")]
    [InlineData("GET", "/v2/")]
    [InlineData("GET", "/V2/operations/x")]
    [InlineData("GET", "/v2/operations/x")]
    [InlineData("GET", "/v2/operations/%zz")]
    [InlineData("GET", "/v2/users/not-hex/operations/pending")]
    [InlineData("POST", "/v2/users/A1/operations")]
    [InlineData("GET", "/v2/no/such/route")]
    [InlineData("GET", "/v2/users/A1/operations")]
    [InlineData("BREW", "/v2/operations/x")]
    [InlineData("DELETE", "/v2/operations/x")]
    public async Task Nothing_is_answered_without_a_key(string method, string target)
    {
        var answer = await new ApiClient(fixture.Service.Api, key: null).SendRawAsync(method, target);

        answer.ShouldBe(Problem.InvalidKey, "X-Api-Key");
        Assert.Equal("ApiKey realm=\"recognize\", header=\"X-Api-Key\"", answer["WWW-Authenticate"]);
        Assert.Equal("no-store", answer["Cache-Control"]);
    }

    [SkippableTheory]
    [InlineData("")]
    [InlineData("wrong")]
    [InlineData("ACME-KEY-FOR-BOTH")]
    [InlineData("acme-key-for-both acme-key-for-both")]
    [InlineData("acme-key-for-both,acme-key-for-both")]
    [InlineData("\"acme-key-for-both\"")]
    [InlineData("acme-key-for-b\u00F6th")]
    [InlineData("b24d4f4dd5ae8dd3eb0e4ee3cbbdf0cd9ac4c3a3c0f5e4b2ab1c5ebf6ff4d19f")]
    public async Task A_key_that_is_not_one_is_refused_and_not_repeated(string key)
    {
        var answer = await new ApiClient(fixture.Service.Api, key: null).SendRawAsync("GET", "/v2/operations/x", null, ("X-Api-Key", key));

        answer.ShouldBe(Problem.InvalidKey, "X-Api-Key");
        Assert.DoesNotContain("acme", answer.Body, StringComparison.OrdinalIgnoreCase);
    }

    [SkippableTheory]
    [InlineData("http://elsewhere.example/v2/operations/x", 401)]
    [InlineData("http://elsewhere.example/v2", 401)]
    [InlineData("http://elsewhere.example/v3?http://elsewhere.example/v2", 404)]
    [InlineData("http://elsewhere.example", 404)]
    public async Task A_target_in_absolute_form_needs_a_key_like_its_path(string target, int status)
    {
        var answer = await new ApiClient(fixture.Service.Api, key: null).SendRawAsync("GET", target, null, ("Host", "elsewhere.example"));

        answer.ShouldBe(status);
    }

    [SkippableFact]
    public async Task A_hash_is_not_a_key()
    {
        var answer = await new ApiClient(fixture.Service.Api, TestCustomers.Hash(TestCustomers.AcmeBoth)).ListAsync(user);

        answer.ShouldBe(Problem.InvalidKey);
    }

    [SkippableFact]
    public async Task A_key_that_is_sent_twice_is_refused()
    {
        var answer = await fixture.Service.Acme.SendRawAsync("GET", $"/v2/users/{user}/operations/pending", null, ("x-api-key", TestCustomers.AcmeBoth));

        answer.ShouldBe(Problem.InvalidKey, "once");
    }

    [SkippableTheory]
    [InlineData(256)]
    [InlineData(257)]
    [InlineData(8_000)]
    public async Task A_long_key_is_an_unknown_key(int length)
    {
        var answer = await new ApiClient(fixture.Service.Api, new string('k', length)).ListAsync(user);

        answer.ShouldBe(Problem.InvalidKey);
    }

    [SkippableFact]
    public async Task The_key_comes_before_the_body_and_its_size()
    {
        var answer = await new ApiClient(fixture.Service.Api, "wrong").CreateAsync(user, Encoding.UTF8.GetBytes(new string('x', 10_000)), ("Content-Type", "text/plain"), ("Accept", "text/html"));

        answer.ShouldBe(Problem.InvalidKey);
    }

    [SkippableFact]
    public async Task A_key_may_do_what_its_scopes_say_and_nothing_else()
    {
        var backend = new ApiClient(fixture.Service.Api, TestCustomers.AcmeOperations);
        var approver = new ApiClient(fixture.Service.Api, TestCustomers.AcmeDecisions);
        var id = ApiClient.NewId();

        (await approver.CreateAsync(user, id)).ShouldBe(Problem.ScopeMissing, "'operations'");
        (await backend.CreateAsync(user, id)).ShouldBeSuccess();
        (await approver.ReadAsync(id)).ShouldBe(Problem.ScopeMissing, "'operations'");
        (await backend.ReadAsync(id)).ShouldBe(200);
        (await approver.ListAsync(user)).ShouldBe(200);
        (await backend.ListAsync(user)).ShouldBe(200);
        (await backend.DecideAsync(id, user)).ShouldBe(Problem.ScopeMissing, "'decisions'");
        (await approver.DecideAsync(id, user)).ShouldBeSuccess();
    }

    [SkippableFact]
    public async Task The_scope_comes_before_the_content_of_a_request()
    {
        var approver = new ApiClient(fixture.Service.Api, TestCustomers.AcmeDecisions);

        (await approver.CreateAsync(user, "{"u8.ToArray())).ShouldBe(Problem.ScopeMissing);
    }
}
