using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Contract;

[Collection("SQLite")]
public sealed partial class OpenApiTests(SqliteService fixture)
{
    private const string RenewVariable = "RECOGNIZE_RENEW_SNAPSHOTS";

    private static readonly JsonSerializerOptions Readable = new() { WriteIndented = true, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    // Whoever has no key reads the document.
    private readonly ApiClient reader = new(fixture.Service.Api, key: null);

    [Fact]
    public async Task The_document_is_the_reviewed_one()
    {
        var snapshot = SnapshotPath();
        var served = JsonNode.Parse((await reader.GetAsync("/openapi/v2.json")).ShouldBe(200).Body)!.ToJsonString(Readable).ReplaceLineEndings("\n") + "\n";
        if (Environment.GetEnvironmentVariable(RenewVariable) == "1")
        {
            await File.WriteAllTextAsync(snapshot, served);
        }

        Assert.True(
            await File.ReadAllTextAsync(snapshot) == served,
            $"The API's document is not {snapshot}. If the change is meant, run the test with {RenewVariable}=1 and review the difference.");
    }

    [Fact]
    public async Task The_document_is_openapi_3_1_and_needs_no_key()
    {
        var answer = (await reader.GetAsync("/openapi/v2.json")).ShouldBe(200);

        Assert.StartsWith("application/json", answer["Content-Type"], StringComparison.Ordinal);
        Assert.StartsWith("3.1.", answer.Json.GetProperty("openapi").GetString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_problem_is_named_under_its_status()
    {
        var paths = await PathsAsync();
        var named = paths.SelectMany(operation => operation.Value.GetProperty("responses").EnumerateObject())
            .SelectMany(response => ProblemType().Matches(response.Value.GetProperty("description").GetString()!)
                .Select(match => (Status: int.Parse(response.Name, CultureInfo.InvariantCulture), Type: match.Value)))
            .ToHashSet();

        // What is answered where no call is, or before any of it was understood, belongs to no call.
        Problem[] elsewhere = [Problem.RouteNotFound, Problem.MethodNotAllowed, Problem.BadRequest];
        Assert.Equal(
            Problem.All.Except(elsewhere).Select(problem => (problem.Status, problem.Type)).Order(),
            named.Order());
    }

    [Fact]
    public async Task Every_limit_is_told()
    {
        var document = (await reader.GetAsync("/openapi/v2.json")).Body;

        Assert.All(
            (int[])[OperationLimits.OperationId, OperationLimits.ExternalUserId, OperationLimits.Payload, OperationLimits.IdempotencyKey, OperationLimits.Reason],
            limit => Assert.Contains($"\"maxLength\": {limit}", document, StringComparison.Ordinal));
        Assert.Contains($"\"maximum\": {OperationLimits.LongestLifetime}", document, StringComparison.Ordinal);
        Assert.Contains($"{{1,{OperationLimits.UserId}}}$", document, StringComparison.Ordinal);
        Assert.Contains($"{OperationLimits.BodyBytes} bytes", document, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Every_call_is_documented_with_its_answer_and_its_scope()
    {
        var paths = await PathsAsync();

        Assert.Equal(
            ["cancelOperation", "createOperation", "decideOperation", "getOperation", "listOperations", "listPendingOperations", "streamPendingOperations"],
            paths.Select(operation => operation.Value.GetProperty("operationId").GetString()).Order(StringComparer.Ordinal));
        Assert.All(paths, operation =>
        {
            Assert.Contains("Needs the scope", operation.Value.GetProperty("description").GetString(), StringComparison.Ordinal);
            var type = operation.Value.GetProperty("operationId").GetString() is "streamPendingOperations" ? "text/event-stream" : "application/json";
            Assert.True(operation.Value.GetProperty("responses").GetProperty("200").GetProperty("content").TryGetProperty(type, out _));
        });
    }

    [Fact]
    public async Task Members_have_one_type_and_are_never_null()
    {
        var document = (await reader.GetAsync("/openapi/v2.json")).Json;

        Assert.DoesNotContain("\"null\"", document.GetRawText(), StringComparison.Ordinal);
        Assert.All(TypesIn(document), type => Assert.Equal(JsonValueKind.String, type.ValueKind));
    }

    [Fact]
    public async Task The_page_for_people_loads_nothing_from_elsewhere()
    {
        var page = (await reader.GetAsync("/docs/")).ShouldBe(200);

        Assert.StartsWith("text/html", page["Content-Type"], StringComparison.Ordinal);
        Assert.Contains("\"openapi/v2.json\"", page.Body, StringComparison.Ordinal);
        Assert.Empty(OtherHost().Matches(page.Body));
        var script = Script().Match(page.Body).Groups[1].Value;
        (await reader.GetAsync($"/docs/{script}")).ShouldBe(200);
    }

    private static string SnapshotPath([CallerFilePath] string source = "") => Path.Combine(Path.GetDirectoryName(source)!, "v2.json");

    private static IEnumerable<JsonElement> TypesIn(JsonElement json) => json.ValueKind switch
    {
        JsonValueKind.Object => json.EnumerateObject().SelectMany(member => member is { Name: "type", Value.ValueKind: not JsonValueKind.Object } ? [member.Value] : TypesIn(member.Value)),
        JsonValueKind.Array => json.EnumerateArray().SelectMany(TypesIn),
        _ => [],
    };

    private async Task<IReadOnlyList<JsonProperty>> PathsAsync() =>
        [.. (await reader.GetAsync("/openapi/v2.json")).Json.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject())];

    [GeneratedRegex("urn:recognize:[a-z-]+")]
    private static partial Regex ProblemType();

    [GeneratedRegex("""(?:https?:)?//[a-z0-9]""", RegexOptions.IgnoreCase)]
    private static partial Regex OtherHost();

    [GeneratedRegex("""<script[^>]* src="([^"]+)"[^>]*>""")]
    private static partial Regex Script();
}
