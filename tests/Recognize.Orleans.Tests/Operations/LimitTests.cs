using System.Text;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection("SQLite")]
public sealed class LimitsOnSqlite(SqliteService fixture) : LimitTests(fixture);

[Collection("PostgreSQL")]
public sealed class LimitsOnPostgreSql(PostgreSqlService fixture) : LimitTests(fixture);

[Collection("SQL Server")]
public sealed class LimitsOnSqlServer(SqlServerService fixture) : LimitTests(fixture);

public abstract class LimitTests(ServiceFixture fixture)
{
    private const string Emoji = "\U0001F4B8";

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableTheory]
    [InlineData("x", 256)]
    [InlineData("\u00E9", 256)]
    [InlineData("\u6F22", 256)]
    [InlineData(Emoji, 128)]
    public async Task The_longest_ids_come_back(string character, int count)
    {
        var api = fixture.Service.Acme;
        var longest = string.Concat(Enumerable.Repeat(character, count - (id.Length / character.Length))) + id;
        longest = longest[^256..];

        (await api.CreateAsync(user, longest, externalUserId: longest)).ShouldBeSuccess();

        var operation = (await api.ReadAsync(longest)).ShouldBe(200).Json;
        Assert.Equal(longest, operation.GetProperty("operationId").GetString());
        Assert.Equal(longest, operation.GetProperty("externalUserId").GetString());
        Assert.Equal([longest], await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task Longer_ids_are_refused()
    {
        var api = fixture.Service.Acme;
        var tooLong = new string('x', 257);

        (await api.CreateAsync(user, tooLong)).ShouldBe(Problem.InvalidRequest, "operationId must be at most 256");
        (await api.ReadAsync(tooLong)).ShouldBe(Problem.InvalidRequest, "operationId must be at most 256");
        (await api.DecideAsync(tooLong, user)).ShouldBe(Problem.InvalidRequest, "operationId must be at most 256");
        (await api.CreateAsync(user, id, externalUserId: tooLong)).ShouldBe(Problem.InvalidRequest, "externalUserId must be at most 256");
        (await api.CreateAsync(user, string.Concat(Enumerable.Repeat(Emoji, 129)))).ShouldBe(Problem.InvalidRequest, "operationId must be at most 256");
    }

    [SkippableTheory]
    [InlineData("x")]
    [InlineData("\0")]
    [InlineData(Emoji)]
    [InlineData("\"")]
    [InlineData("\u6F22")]
    public async Task The_longest_payload_comes_back_as_it_was_typed_or_escaped(string character)
    {
        var api = fixture.Service.Acme;
        var longest = string.Concat(Enumerable.Repeat(character, 16_384 / character.Length));

        (await api.CreateAsync(user, id, longest)).ShouldBeSuccess();
        (await api.CreateAsync(user, Escaped($"{id}-escaped", longest))).ShouldBeSuccess();

        Assert.Equal(longest, (await api.ReadAsync(id)).ShouldBe(200).Json.GetProperty("operationPayload").GetString());
        Assert.Equal(longest, (await api.ReadAsync($"{id}-escaped")).ShouldBe(200).Json.GetProperty("operationPayload").GetString());
        Assert.All((await api.ListAsync(user)).Json.EnumerateArray(), operation => Assert.Equal(longest, operation.GetProperty("operationPayload").GetString()));
        (await api.DecideAsync(id, user, payload: longest)).ShouldBeSuccess();
    }

    [SkippableTheory]
    [InlineData("x", 16_385)]
    [InlineData("\0", 16_385)]
    [InlineData(Emoji, 8_193)]
    public async Task A_longer_payload_is_refused(string character, int count)
    {
        var api = fixture.Service.Acme;
        var tooLong = string.Concat(Enumerable.Repeat(character, count));

        (await api.CreateAsync(user, id, tooLong)).ShouldBe(Problem.InvalidRequest, "operationPayload must be at most 16384");
        (await api.CreateAsync(user, Escaped(id, tooLong))).ShouldBe(Problem.InvalidRequest, "operationPayload must be at most 16384");
        (await api.DecideAsync(id, user, payload: tooLong)).ShouldBe(Problem.InvalidRequest, "operationPayload must be at most 16384");
    }

    [SkippableFact]
    public async Task Everything_at_its_longest_and_escaped_fits_into_a_body()
    {
        var api = fixture.Service.Acme;
        var longest = (id + new string('x', 256))[..256];

        (await api.CreateAsync(user, Escaped(longest, new string('\0', 16_384), longest))).ShouldBeSuccess();
    }

    [SkippableFact]
    public async Task The_body_may_have_131072_bytes_and_no_more()
    {
        var api = fixture.Service.Acme;
        var body = $$"""{"operationId":"{{id}}"}""";

        (await api.CreateAsync(user, Encoding.UTF8.GetBytes(body.PadRight(131_073)))).ShouldBe(Problem.BodyTooLarge, "131072");
        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
        (await api.CreateAsync(user, Encoding.UTF8.GetBytes(body.PadRight(131_072)))).ShouldBeSuccess();
    }

    [SkippableFact]
    public async Task A_body_that_does_not_say_its_length_has_the_same_limit()
    {
        using var content = new StreamContent(new MemoryStream(new byte[200_000]));
        content.Headers.ContentType = new("application/json");

        var answer = await fixture.Service.Acme.SendAsync(HttpMethod.Post, $"/v2/users/{user}/operations", content, ("Transfer-Encoding", "chunked"));

        answer.ShouldBe(Problem.BodyTooLarge, "131072");
        Assert.Contains("no-store", answer["Cache-Control"]);
    }

    [SkippableTheory]
    [InlineData(1)]
    [InlineData(12)]
    [InlineData(128)]
    public async Task A_user_id_has_1_to_128_digits(int length)
    {
        var api = fixture.Service.Acme;
        var someone = string.Concat(Enumerable.Repeat(user, 8))[..length];

        (await api.CreateAsync(someone, id)).ShouldBeSuccess();

        Assert.Contains(id, await api.PendingIdsAsync(someone));
        Assert.Equal(someone, (await api.ReadAsync(id)).Json.GetProperty("userId").GetString());
        (await api.DecideAsync(id, someone)).ShouldBeSuccess();
    }

    [SkippableTheory]
    [InlineData("a1b2")]
    [InlineData("A1b2")]
    [InlineData("A1G2")]
    [InlineData("A1%20")]
    [InlineData("A1-B2")]
    [InlineData("%C3%A9")]
    [InlineData("129 digits")]
    public async Task Any_other_user_id_is_400(string userId)
    {
        var api = fixture.Service.Acme;
        var target = $"/v2/users/{(userId is "129 digits" ? new string('A', 129) : userId)}/operations";

        (await api.SendRawAsync("POST", target, Encoding.UTF8.GetBytes(ApiClient.Object(("operationId", id))))).ShouldBe(Problem.InvalidRequest, "userId");
        (await api.SendRawAsync("GET", $"{target}/pending")).ShouldBe(Problem.InvalidRequest, "userId");
        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
    }

    [SkippableFact]
    public async Task A_user_has_so_many_pending_operations_and_decided_ones_make_room()
    {
        var api = fixture.Service.Acme;
        var ids = Enumerable.Range(0, TestService.PendingLimit).Select(n => $"{id}-{n}").ToList();
        await api.CreateInOrderAsync(user, ids);

        (await api.CreateAsync(user, id)).ShouldBe(OperationProblems.PendingLimitReached, "decide one of them");
        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
        (await api.CreateAsync(user, ids[0])).ShouldBe(OperationProblems.Exists);
        (await api.CreateAsync(ApiClient.NewUser(), $"{id}-other")).ShouldBeSuccess();
        (await new ApiClient(fixture.Service.Api, TestCustomers.GlobexBoth).CreateAsync(user, id)).ShouldBeSuccess();

        (await api.DecideAsync(ids[0], user, "deny")).ShouldBeSuccess();
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        (await api.CreateAsync(user, $"{id}-more")).ShouldBe(OperationProblems.PendingLimitReached);

        Assert.Equal([.. ids[1..], id], await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task Decided_operations_never_count()
    {
        var api = fixture.Service.Acme;
        await Assert.AllAsync(Enumerable.Range(0, TestService.PendingLimit * 3).Select(n => $"{id}-{n}"), async each =>
        {
            (await api.CreateAsync(user, each)).ShouldBeSuccess();
            (await api.DecideAsync(each, user)).ShouldBeSuccess();
        });
    }

    // Every character as \uXXXX, the longest form that JSON has.
    private static byte[] Escaped(string operationId, string payload, string? externalUserId = null)
    {
        var external = externalUserId is null ? "" : $",\"externalUserId\":\"{Escape(externalUserId)}\"";
        return Encoding.UTF8.GetBytes($"{{\"operationId\":\"{Escape(operationId)}\",\"operationPayload\":\"{Escape(payload)}\"{external}}}");

        static string Escape(string text) => string.Concat(text.Select(unit => $"\\u{(int)unit:x4}"));
    }
}
