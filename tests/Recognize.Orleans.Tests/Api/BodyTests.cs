using System.Text;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection("SQLite")]
public sealed class BodiesOnSqlite(SqliteService fixture) : BodyTests(fixture);

[Collection("PostgreSQL")]
public sealed class BodiesOnPostgreSql(PostgreSqlService fixture) : BodyTests(fixture);

[Collection("SQL Server")]
public sealed class BodiesOnSqlServer(SqlServerService fixture) : BodyTests(fixture);

public abstract class BodyTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableTheory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("[]")]
    [InlineData("\"text\"")]
    [InlineData("{\"operationId\":\"a\"} {}")]
    [InlineData("{\"operationId\":\"a\",}")]
    [InlineData("{operationId:\"a\"}")]
    [InlineData("{'operationId':'a'}")]
    [InlineData("{\"operationId\":\"a\"/* comment */}")]
    [InlineData("\uFEFF{\"operationId\":\"a\"}")]
    [InlineData("{\"operationId\":\"a\u0001\"}")]
    [InlineData("{\"operationId\":\"\\x41\"}")]
    [InlineData("{\"\\ud800\":1,\"operationId\":\"a\"}")]
    public async Task A_body_that_is_not_one_json_object_is_400(string body) =>
        (await fixture.Service.Acme.CreateAsync(user, Encoding.UTF8.GetBytes(body))).ShouldBe(Problem.InvalidRequest, "body");

    [SkippableTheory]
    [InlineData("operationId", "1")]
    [InlineData("operationId", "true")]
    [InlineData("operationId", "{}")]
    [InlineData("operationId", "[\"a\"]")]
    [InlineData("operationId", "null")]
    [InlineData("operationId", "\"\"")]
    [InlineData("operationId", "\"  \"")]
    [InlineData("operationId", "\"\\u3000\\u2003\"")]
    [InlineData("operationId", "\"a\\u0000b\"")]
    [InlineData("operationId", "\"a\\nb\"")]
    [InlineData("operationId", "\"a\\u007fb\"")]
    [InlineData("operationId", "\"a\\u0085b\"")]
    [InlineData("operationId", "\"\\ud83d\"")]
    [InlineData("operationId", "\"\\ude00\\ud83d\"")]
    [InlineData("operationId", "\".\"")]
    [InlineData("operationId", "\"..\"")]
    [InlineData("externalUserId", "1")]
    [InlineData("externalUserId", "false")]
    [InlineData("externalUserId", "\"a\\tb\"")]
    [InlineData("externalUserId", "\"\\ud83dx\"")]
    [InlineData("operationPayload", "5")]
    [InlineData("operationPayload", "{\"a\":1}")]
    [InlineData("operationPayload", "\"\\udc00\"")]
    [InlineData("authType", "1")]
    [InlineData("authType", "\"\"")]
    [InlineData("authType", "\"PIN\"")]
    [InlineData("authType", "\"face\"")]
    public async Task A_member_that_breaks_its_rule_is_named(string member, string value)
    {
        var others = member is "operationId" ? "" : $"\"operationId\":\"{id}\",";

        var answer = await fixture.Service.Acme.CreateAsync(user, Encoding.UTF8.GetBytes($"{{{others}\"{member}\":{value}}}"));

        answer.ShouldBe(Problem.InvalidRequest, member);
        (await fixture.Service.Acme.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
    }

    [SkippableTheory]
    [InlineData("{}")]
    [InlineData("{\"OperationId\":\"a\"}")]
    [InlineData("{\"operationID\":\"a\"}")]
    public async Task The_operation_id_is_required_and_its_name_is_case_sensitive(string body) =>
        (await fixture.Service.Acme.CreateAsync(user, Encoding.UTF8.GetBytes(body))).ShouldBe(Problem.InvalidRequest, "operationId is required");

    [SkippableTheory]
    [InlineData("{\"operationId\":\"a\",\"operationId\":\"b\"}", "operationId")]
    [InlineData("{\"operationId\":\"a\",\"operation\\u0049d\":\"a\"}", "operationId")]
    [InlineData("{\"operationId\":\"a\",\"more\":1,\"more\":2}", "more")]
    public async Task A_member_that_is_there_twice_is_400(string body, string member) =>
        (await fixture.Service.Acme.CreateAsync(user, Encoding.UTF8.GetBytes(body))).ShouldBe(Problem.InvalidRequest, $"'{member}' twice");

    [SkippableFact]
    public async Task A_body_that_is_not_utf8_is_400()
    {
        byte[] body = [.. "{\"operationId\":\""u8, 0xC3, 0x28, .. "\"}"u8];

        (await fixture.Service.Acme.CreateAsync(user, body)).ShouldBe(Problem.InvalidRequest, "UTF-8");
    }

    [SkippableFact]
    public async Task Members_that_nobody_knows_are_ignored()
    {
        var api = fixture.Service.Acme;
        var body = $$"""{"metadata":{"a":[1,{"a":1,"a":2}]},"OPERATIONID":5,"operationId":"{{id}}","state":"approved","x":"\ud800"}""";

        (await api.CreateAsync(user, Encoding.UTF8.GetBytes(body))).ShouldBeSuccess();

        Assert.Equal("pending", (await api.ReadAsync(id)).Json.GetProperty("state").GetString());
    }

    [SkippableFact]
    public async Task An_optional_member_that_is_null_is_absent()
    {
        var api = fixture.Service.Acme;
        var body = $$"""{"operationId":"{{id}}","externalUserId":null,"operationPayload":null,"authType":null}""";

        (await api.CreateAsync(user, Encoding.UTF8.GetBytes(body))).ShouldBeSuccess();

        Assert.Equal($$"""[{"operationId":"{{id}}"}]""", (await api.ListAsync(user)).Body);
    }

    [SkippableFact]
    public async Task An_optional_member_that_is_empty_is_kept()
    {
        var api = fixture.Service.Acme;

        (await api.CreateAsync(user, id, payload: "", externalUserId: "")).ShouldBeSuccess();

        Assert.Equal($$"""[{"operationId":"{{id}}","operationPayload":"","externalUserId":""}]""", (await api.ListAsync(user)).Body);
    }

    [SkippableTheory]
    [InlineData("decision", "\"APPROVE\"")]
    [InlineData("decision", "\"approved\"")]
    [InlineData("decision", "null")]
    [InlineData("decision", "true")]
    [InlineData("authType", "null")]
    [InlineData("authType", "\"face\"")]
    [InlineData("userId", "null")]
    [InlineData("userId", "\"a1\"")]
    [InlineData("userId", "17")]
    [InlineData("operationPayload", "17")]
    [InlineData("operationPayload", "\"\\ud800\"")]
    public async Task A_decision_that_breaks_a_rule_is_400_and_changes_nothing(string member, string value)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        var members = new Dictionary<string, string> { ["userId"] = $"\"{user}\"", ["decision"] = "\"approve\"", ["authType"] = "\"pin\"", [member] = value };
        var body = $"{{{string.Join(',', members.Select(each => $"\"{each.Key}\":{each.Value}"))}}}";

        (await api.PostAsync($"/v2/operations/{id}/decision", body)).ShouldBe(Problem.InvalidRequest, member);

        Assert.Equal([id], await api.PendingIdsAsync(user));
    }
}
