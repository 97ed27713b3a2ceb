using System.Text;
using System.Text.Json;
using CsCheck;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection("SQLite")]
public sealed class PropertiesOnSqlite(SqliteService fixture) : PropertyTests(fixture);

[Collection("PostgreSQL")]
public sealed class PropertiesOnPostgreSql(PostgreSqlService fixture) : PropertyTests(fixture);

[Collection("SQL Server")]
public sealed class PropertiesOnSqlServer(SqlServerService fixture) : PropertyTests(fixture);

/// <summary>Whatever is sent is answered with less than 500, and what is accepted comes back to the character.</summary>
public abstract class PropertyTests(ServiceFixture fixture)
{
    private const int Samples = 150;

    // Characters that mean something to URLs, JSON, SQL, format strings or Unicode.
    private static readonly Gen<string> Kept = Gen.Frequency(
        (6, Gen.Char[' ', '~'].Select(each => each.ToString())),
        (2, Gen.OneOf("/", "%", "%2F", "..", "+", "?", "#", "{", "}", "{0}", "'", "\"", "\\", "$", ";", "&")),
        (2, Gen.Char['\u00A0', '\uD7FF'].Select(each => each.ToString())),
        (1, Gen.OneOf("\U0001F4B8", "e\u0301", "\u202E", "\uFEFF", "\uFFFF", "\U0010FFFF")));

    private static readonly Gen<string> Piece = Gen.Frequency(
        (10, Kept),
        (1, Gen.OneOf("\0", "\n", "\u007F", "\u0085", "\uD83D", "\uDE00")));

    private static readonly Gen<string> Text = Gen.Frequency(
        (9, Kept.Array[0, 40].Select(string.Concat)),
        (1, Piece.Array[0, 40].Select(string.Concat)));

    private static readonly Gen<string> JsonValue = Gen.Frequency(
        (6, Text.Select(Quoted)),
        (1, Gen.OneOf("null", "true", "0", "-1e999", "[]", "{}", "{\"a\":[1]}", "\"approve\"", "\"pin\"", "")));

    private static readonly Gen<string> Member = Gen.Frequency(
        (6, Gen.OneOf("operationId", "externalUserId", "operationPayload", "authType", "userId", "decision")),
        (1, Text));

    private static readonly Gen<byte[]> Body = Gen.Frequency(
        (6, Gen.Select(Member, JsonValue).Array[0, 6].Select(members => Encoding.UTF8.GetBytes($"{{{string.Join(',', members.Select(each => $"{Quoted(each.Item1)}:{each.Item2}"))}}}"))),
        (1, Gen.Byte.Array[0, 200]),
        (1, Text.Select(Encoding.UTF8.GetBytes)));

    // Whatever a request line can hold: no blanks and no control characters, which would end the target.
    private static readonly Gen<string> Segment = Gen.Frequency(
        (4, Gen.Char['!', '~'].Array[0, 30].Select(characters => new string(characters))),
        (2, Text.Where(text => !text.Any(char.IsSurrogate)).Select(Uri.EscapeDataString)),
        (1, Gen.Char['\u00A1', '\u00FF'].Array[1, 5].Select(characters => new string(characters))),
        (1, Gen.OneOf(".", "..", "%2e%2E", "%", "%00", "%ff", "A1", "pending", "decision", "operations", "users")));

    [SkippableFact]
    public async Task Whatever_create_accepts_is_read_and_listed_to_the_character()
    {
        var api = fixture.Service.Acme;
        await Gen.Select(Text, Text, Text, Gen.Bool).SampleAsync(
            async (id, externalUserId, payload, escaped) =>
            {
                var user = ApiClient.NewUser();
                var unique = $"{id}{user}";
                var body = $"{{\"operationId\":{Json(unique)},\"externalUserId\":{Json(externalUserId)},\"operationPayload\":{Json(payload)}}}";

                var answer = await api.CreateAsync(user, Encoding.UTF8.GetBytes(body));

                var kept = IsText(unique) && !unique.Any(char.IsControl) && unique.Length <= 256
                    && IsText(externalUserId) && !externalUserId.Any(char.IsControl)
                    && IsText(payload);
                Assert.True(answer.Status == (kept ? 200 : 400), $"{answer.Status}: {answer.Body}");
                if (kept)
                {
                    var read = (await api.ReadAsync(unique)).ShouldBe(200).Json;
                    var listed = Assert.Single((await api.ListAsync(user)).ShouldBe(200).Json.EnumerateArray());
                    Assert.All((JsonElement[])[read, listed], operation => Assert.Equal(
                        (unique, externalUserId, payload),
                        (operation.GetProperty("operationId").GetString(), operation.GetProperty("externalUserId").GetString(), operation.GetProperty("operationPayload").GetString())));
                }

                string Json(string text) => escaped || !IsText(text) ? Quoted(text) : JsonSerializer.Serialize(text);
            },
            iter: Samples,
            threads: 1);
    }

    [SkippableFact]
    public async Task No_body_is_answered_with_a_fault()
    {
        var api = fixture.Service.Acme;
        await Body.SampleAsync(
            async body =>
            {
                var user = ApiClient.NewUser();
                await ShouldBeOursAsync(api.CreateAsync(user, body));
                await ShouldBeOursAsync(api.SendRawAsync("POST", $"/v2/operations/{user}/decision", body));
            },
            iter: Samples,
            threads: 1);
    }

    [SkippableFact]
    public async Task No_path_is_answered_with_a_fault()
    {
        var api = fixture.Service.Acme;
        var shapes = Gen.OneOf("/v2/{0}", "/v2/operations/{0}", "/v2/operations/{0}/decision", "/v2/users/{0}/operations", "/v2/users/{0}/operations/pending", "/v2/{0}/{0}", "/v2/operations/{0}?{0}", "/openapi/{0}", "/docs/{0}", "/{0}");
        await Gen.Select(Gen.OneOf("GET", "POST", "HEAD", "OPTIONS", "PUT"), shapes, Segment).SampleAsync(
            async (method, shape, segment) =>
            {
                var answer = await api.SendRawAsync(method, shape.Replace("{0}", segment, StringComparison.Ordinal), method is "POST" ? "{}"u8.ToArray() : null);

                Assert.True(answer.Status < 500, $"{answer.Status}: {answer.Body}");
            },
            iter: Samples * 2,
            threads: 1);
    }

    [SkippableFact]
    public async Task No_header_is_answered_with_a_fault()
    {
        var api = fixture.Service.Acme;
        var name = Gen.OneOf("Accept", "Content-Type", "Content-Encoding", "Idempotency-Key", "X-Api-Key", "Accept-Charset", "If-None-Match", "Range", "Authorization", "Cookie", "traceparent", "tracestate", "baggage", "Forwarded", "X-Forwarded-For");
        var value = Gen.Frequency(
            (3, Gen.OneOf("application/json", "application/json;q=0.5", "*/*", "text/*;q=0", "q=1", ";;;", "a/b;c=\"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
            (2, Gen.Char[' ', '~'].Array[0, 60].Select(characters => new string(characters).Trim())),
            (1, Gen.Char['\u00A1', '\u00FF'].Array[1, 5].Select(characters => new string(characters))));
        await Gen.Select(name, value).Array[1, 4].SampleAsync(
            async headers =>
            {
                var user = ApiClient.NewUser();
                await ShouldBeOursAsync(api.CreateAsync(user, Encoding.UTF8.GetBytes(ApiClient.Object(("operationId", user))), headers));
                await ShouldBeOursAsync(api.SendRawAsync("GET", $"/v2/operations/{user}", null, headers));
            },
            iter: Samples,
            threads: 1);
    }

    // A problem of the API itself, not an empty answer of the server.
    private static async Task ShouldBeOursAsync(Task<Answer> request)
    {
        var answer = await request;
        Assert.True(answer.Status < 500, $"{answer.Status}: {answer.Body}");
        Assert.True(answer.Status is 200 || answer.Body.Contains("urn:recognize:", StringComparison.Ordinal), $"{answer.Status}: {answer.Body}");
        Assert.Equal("no-store", answer["Cache-Control"]);
    }

    private static bool IsText(string text)
    {
        try
        {
            _ = new UTF8Encoding(false, throwOnInvalidBytes: true).GetByteCount(text);
            return true;
        }
        catch (EncoderFallbackException)
        {
            return false;
        }
    }

    // With every unit escaped, so that JSON can say half of a surrogate pair too.
    private static string Quoted(string text) => $"\"{string.Concat(text.Select(unit => unit is >= 'a' and <= 'z' ? unit.ToString() : $"\\u{(int)unit:x4}"))}\"";
}
