using System.Text;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection("SQLite")]
public sealed class IdsOnSqlite(SqliteService fixture) : IdTests(fixture);

[Collection("PostgreSQL")]
public sealed class IdsOnPostgreSql(PostgreSqlService fixture) : IdTests(fixture);

[Collection("SQL Server")]
public sealed class IdsOnSqlServer(SqlServerService fixture) : IdTests(fixture);

public abstract class IdTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    // Texts that a URL parser, a route, a database or Orleans' own storage is known to merge with another.
    public static TheoryData<string, string> LookAlikes => new()
    {
        { "a/b", "a%2Fb" },
        { "a%2Fb", "a%252Fb" },
        { "a/b", "a\\b" },
        { "A", "a" },
        { "1", "01" },
        { "12345678-1234-1234-1234-1234567890ab", "1234567812341234123412345678" + "90ab" },
        { "\u00E9", "e\u0301" },
        { "\u00DF", "ss" },
        { "\uFF11", "1" },
        { "a", "a " },
        { " a", "a" },
        { "a", "a\u200B" },
        { "a+b", "a b" },
        { "a+b", "a%2Bb" },
        { "a?b", "a" },
        { "a#b", "a" },
        { "a;b", "a" },
        { "%", "%25" },
        { "...", "./." },
        { "../a", "a" },
        { "a/", "a" },
        { "a//b", "a/b" },
        { "/a", "a" },
        { "a/decision", "a" },
        { "I", "\u0131" },
        { "\U0001F600", "\U0001F601" },
        { "a'b", "a''b" },
        { "$name$", "name" },
        { "{0}", "{operationId}" },
        { "{", "}" },
        { "{{", "{" },
    };

    [SkippableTheory]
    [MemberData(nameof(LookAlikes))]
    public async Task Look_alikes_are_different_operations_and_come_back_to_the_character(string one, string other)
    {
        var api = new ApiClient(fixture.Service.Api, TestCustomers.AcmeBoth);
        // A user for each id, so that the same id in another row of the table is a refused duplicate and nothing worse.
        await CreateOnceAsync(api, one);
        await CreateOnceAsync(api, other);

        Assert.Equal(one, (await api.ReadAsync(one)).ShouldBe(200).Json.GetProperty("operationId").GetString());
        Assert.Equal(other, (await api.ReadAsync(other)).ShouldBe(200).Json.GetProperty("operationId").GetString());
        Assert.NotEqual((await api.ReadAsync(one)).Json.GetProperty("id").GetInt64(), (await api.ReadAsync(other)).Json.GetProperty("id").GetInt64());
    }

    [SkippableTheory]
    [InlineData("a/b")]
    [InlineData("a%2Fb?c#d+e f")]
    [InlineData("\u00E9 e\u0301 \U0001F4B8")]
    public async Task An_operation_is_decided_and_listed_under_its_exact_id(string text)
    {
        var api = fixture.Service.Acme;
        var exact = $"{id}{text}";
        (await api.CreateAsync(user, exact)).ShouldBeSuccess();

        Assert.Equal([exact], await api.PendingIdsAsync(user));
        (await api.DecideAsync(exact, user)).ShouldBeSuccess();
        Assert.Equal("approved", (await api.ReadAsync(exact)).Json.GetProperty("state").GetString());
        Assert.Empty(await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task Every_way_to_encode_an_id_reads_it()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, $"{id}+~\u00E9")).ShouldBeSuccess();

        string[] ways = [$"{id}+~%C3%A9", $"{id}%2b%7e%c3%a9", $"%74{id[1..]}+~%C3%A9"];
        await Assert.AllAsync(ways, async encoded =>
        {
            (await api.SendRawAsync("GET", $"/v2/operations/{encoded}")).ShouldBe(200);
            (await api.SendRawAsync("GET", $"/v2/operations/{encoded}?a=b/c")).ShouldBe(200);
            (await api.SendRawAsync("GET", $"/v2/operations/{encoded}/")).ShouldBe(200);
        });
    }

    [SkippableFact]
    public async Task An_absolute_target_reads_the_same_operation()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, $"{id}/%2F")).ShouldBeSuccess();

        var answer = await api.SendRawAsync("GET", $"http://api.example/v2/operations/{id}%2F%252F?x", null, ("Host", "api.example"));

        Assert.Equal($"{id}/%2F", answer.ShouldBe(200).Json.GetProperty("operationId").GetString());
    }

    [SkippableTheory]
    [InlineData("%")]
    [InlineData("%4")]
    [InlineData("%GG")]
    [InlineData("a%")]
    [InlineData("%C3")]
    [InlineData("%C3%28")]
    [InlineData("%ED%A0%80")]
    [InlineData("%C0%AF")]
    [InlineData("%F8%88%80%80%80")]
    public async Task A_segment_that_encodes_no_text_is_400(string segment)
    {
        var api = fixture.Service.Acme;

        (await api.SendRawAsync("GET", $"/v2/operations/{segment}")).ShouldBe(Problem.InvalidRequest, "percent-encoded");
        (await api.SendRawAsync("POST", $"/v2/operations/{segment}/decision", "{}"u8.ToArray())).ShouldBe(Problem.InvalidRequest, "percent-encoded");
    }

    [SkippableTheory]
    [InlineData("%0A")]
    [InlineData("%7F")]
    [InlineData("%20")]
    [InlineData("%2E")]
    [InlineData("%2e%2E")]
    [InlineData(".")]
    [InlineData("..")]
    public async Task A_segment_that_no_operation_can_have_as_its_id_is_400(string segment) =>
        (await fixture.Service.Acme.SendRawAsync("GET", $"/v2/operations/{segment}")).ShouldBe(Problem.InvalidRequest, "operationId");

    [SkippableFact]
    public async Task Dot_segments_lead_nowhere() =>
        (await fixture.Service.Acme.SendRawAsync("GET", $"/openapi/../v2/users/{user}/operations/pending")).ShouldBe(404);

    private static async Task CreateOnceAsync(ApiClient api, string operationId)
    {
        var body = Encoding.UTF8.GetBytes(ApiClient.Object(("operationId", operationId)));
        var answer = await api.CreateAsync(ApiClient.NewUser(), body);
        // Several pairs share a text.
        Assert.True(answer.Status is 200 or 409, $"{answer.Status}: {answer.Body}");
    }
}
