using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Documents;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection("SQLite")]
public sealed partial class OpenApiTests(SqliteService fixture)
{
    // Whoever has no key reads the document.
    private readonly ApiClient reader = new(fixture.Service.Api, key: null);

    [Fact]
    public async Task The_document_of_the_repository_is_served_as_it_is()
    {
        var answer = (await reader.GetAsync("/openapi/v2.json")).ShouldBe(200);

        Assert.Equal(await File.ReadAllTextAsync(Repository.PathOf("openapi/v2.json")), answer.Body);
        (await reader.GetAsync("/openapi/v2.json", ("If-None-Match", answer["ETag"]!))).ShouldBe(304);
    }

    [Fact]
    public async Task Whoever_reads_gzip_gets_the_document_compressed()
    {
        using var client = new HttpClient(new SocketsHttpHandler { AutomaticDecompression = DecompressionMethods.GZip });
        using var compressed = await client.GetAsync(new Uri(fixture.Service.Api, "/openapi/v2.json"));
        var plain = (await reader.GetAsync("/openapi/v2.json", ("Accept-Encoding", "gzip;q=0"))).ShouldBe(200);

        Assert.Equal(plain.Body, await compressed.Content.ReadAsStringAsync());
        Assert.NotEqual(plain["ETag"], compressed.Headers.ETag?.ToString());
        Assert.Equal(("Accept-Encoding", "Accept-Encoding"), (plain["Vary"], compressed.Headers.Vary.Single()));
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
        var document = (await reader.GetAsync("/openapi/v2.json")).Json;
        var named = AnswersIn(document)
            .Where(answer => answer.Status >= 400)
            .SelectMany(answer => ExamplesIn(document, answer.Content).Select(example => (answer.Status, Type: example.GetProperty("type").GetString()!)))
            .ToHashSet();

        // What is answered where no call is belongs to no call.
        Problem[] elsewhere = [Problem.RouteNotFound, Problem.MethodNotAllowed];
        Assert.Equal(
            Problems.All.Except(elsewhere).Select(problem => (problem.Status, problem.Type)).Order(),
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
    public async Task Every_call_tells_its_answer_and_its_scope()
    {
        var document = (await reader.GetAsync("/openapi/v2.json")).Json;
        var paths = await PathsAsync();

        Assert.All(paths, operation =>
        {
            Assert.Contains("Needs the scope", operation.Value.GetProperty("description").GetString(), StringComparison.Ordinal);
            var type = operation.Value.GetProperty("operationId").GetString() is "streamPendingOperations" ? "text/event-stream" : "application/json";
            Assert.True(Resolve(document, operation.Value.GetProperty("responses").GetProperty("200")).GetProperty("content").TryGetProperty(type, out _));
        });
    }

    [Fact]
    public async Task The_routes_of_the_service_and_the_calls_of_the_document_are_the_same()
    {
        var routes = from route in fixture.Service.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
                     where route.RoutePattern.RawText!.StartsWith("/v2", StringComparison.Ordinal)
                     let methods = route.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods.Where(method => method is not "HEAD")
                     select $"{string.Join(' ', methods)} {route.RoutePattern.RawText}: {route.Metadata.GetMetadata<IEndpointNameMetadata>()?.EndpointName}";
        var calls = from path in (await reader.GetAsync("/openapi/v2.json")).Json.GetProperty("paths").EnumerateObject()
                    from call in path.Value.EnumerateObject().Where(member => member.Value.ValueKind is JsonValueKind.Object)
                    select $"{call.Name.ToUpperInvariant()} {path.Name}: {call.Value.GetProperty("operationId").GetString()}";

        var (served, documented) = (routes.ToList(), calls.ToList());

        Assert.True(!served.Except(documented).Any(), $"Add to the paths of openapi/v2.json: {string.Join(", ", served.Except(documented))}");
        Assert.True(!documented.Except(served).Any(), $"No route serves what openapi/v2.json has: {string.Join(", ", documented.Except(served))}");
    }

    [Fact]
    public async Task Every_body_has_an_example()
    {
        var document = (await reader.GetAsync("/openapi/v2.json")).Json;
        var requests = (await PathsAsync()).Where(operation => operation.Name is "post").Select(operation => operation.Value.GetProperty("requestBody"));

        Assert.All(requests, request => Assert.NotEmpty(ExamplesIn(document, request)));
        Assert.All(AnswersIn(document).Where(answer => answer.Status is not 304), answer => Assert.NotEmpty(ExamplesIn(document, answer.Content)));
    }

    // Whoever opens the page for people sends these as they are.
    [Fact]
    public async Task The_examples_can_be_sent_one_after_the_other()
    {
        var document = (await reader.GetAsync("/openapi/v2.json")).Json;
        var backend = new ApiClient(fixture.Service.Api, TestCustomers.AcmeOperations);
        var approver = new ApiClient(fixture.Service.Api, TestCustomers.AcmeDecisions);
        var parameters = document.GetProperty("components").GetProperty("parameters");
        var list = $"/v2/users/{parameters.GetProperty("UserId").GetProperty("example").GetString()}/operations";
        var payment = $"/v2/operations/{parameters.GetProperty("OperationId").GetProperty("example").GetString()}";

        (await backend.PostAsync(list, Example("/v2/users/{userId}/operations", "payment"))).ShouldBeSuccess();
        (await backend.PostAsync(list, Example("/v2/users/{userId}/operations", "least"))).ShouldBeSuccess();
        (await approver.PostAsync($"{payment}/decision", Example("/v2/operations/{operationId}/decision", "approve"))).ShouldBeSuccess();
        (await approver.PostAsync($"{payment}/decision", Example("/v2/operations/{operationId}/decision", "deny"))).ShouldBe(Problem.AlreadyDecided);
        (await backend.PostAsync("/v2/operations/login-2025-0001/cancel", Example("/v2/operations/{operationId}/cancel", "reason"))).ShouldBeSuccess();
        var read = (await backend.GetAsync(payment)).ShouldBe(200).Json;

        var shown = document.GetProperty("paths").GetProperty("/v2/operations/{operationId}").GetProperty("get").GetProperty("responses").GetProperty("200");
        Assert.Equal(ExamplesIn(document, shown).First().EnumerateObject().Select(member => member.Name), read.EnumerateObject().Select(member => member.Name));
        Assert.Equal("approved", read.GetProperty("status").GetString());
        Assert.Equal(ExamplesIn(document, shown).First().GetProperty("operationPayload").GetString(), read.GetProperty("operationPayload").GetString());

        string Example(string path, string name) => document.GetProperty("paths").GetProperty(path).GetProperty("post").GetProperty("requestBody").GetProperty("content")
            .GetProperty("application/json").GetProperty("examples").GetProperty(name).GetProperty("value").GetRawText();
    }

    [Fact]
    public async Task A_later_value_of_a_set_breaks_no_client_that_was_generated_before()
    {
        var document = (await reader.GetAsync("/openapi/v2.json")).Json;

        Assert.DoesNotContain("\"enum\"", document.GetRawText(), StringComparison.Ordinal);
        Assert.Equal(Enum.GetValues<AuthType>().Select(type => AuthTypeText.Of(type)), ValuesOf("AuthType"));
        Assert.All(ValuesOf("OperationStatus"), status => Assert.NotNull(OperationBody.StatusOf(status)));
        Assert.Equal(Enum.GetValues<OperationStatus>().Length, ValuesOf("OperationStatus").Count());
        Assert.Equal(Problems.All.Select(problem => problem.Type).Order(StringComparer.Ordinal), ValuesOf("ProblemType"));

        IEnumerable<string?> ValuesOf(string set) =>
            document.GetProperty("components").GetProperty("schemas").GetProperty(set).GetProperty("x-extensible-enum").EnumerateArray().Select(value => value.GetString());
    }

    [Fact]
    public async Task The_headers_of_answers_are_told()
    {
        var document = (await reader.GetAsync("/openapi/v2.json")).Json;
        var told = AnswersIn(document).SelectMany(answer => answer.Headers.Select(header => (answer.Call, answer.Status, header))).ToList();

        Assert.Equal(
            [("getOperation", 200, "Preference-Applied"), ("listPendingOperations", 200, "ETag"), ("listPendingOperations", 200, "Preference-Applied"), ("listPendingOperations", 304, "ETag"), ("listPendingOperations", 304, "Preference-Applied"), ("streamPendingOperations", 200, "X-Accel-Buffering")],
            told.Where(header => header.Status < 400).Order());
        Assert.Equal(
            AnswersIn(document).Where(answer => answer.Status is 429 or 503).Select(answer => (answer.Call, answer.Status)).Order(),
            told.Where(header => header.header is "Retry-After").Select(header => (header.Call, header.Status)).Order());
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

    // What is shown then is tried in a browser: these are the options that decide it.
    [Fact]
    public async Task The_page_for_people_advertises_nothing_and_knows_no_key_in_production()
    {
        var page = (await reader.GetAsync("/docs/")).ShouldBe(200).Body;

        Assert.Contains("\"agent\":{\"disabled\":true}", page, StringComparison.Ordinal);
        Assert.Contains("\"mcp\":{\"disabled\":true}", page, StringComparison.Ordinal);
        Assert.Contains("\"telemetry\":false", page, StringComparison.Ordinal);
        Assert.Contains("\"hideClientButton\":true", page, StringComparison.Ordinal);
        Assert.Contains("\"showDeveloperTools\":\"never\"", page, StringComparison.Ordinal);
        Assert.Contains(".generate-sdk-button", page, StringComparison.Ordinal);
        Assert.DoesNotContain("demo-", page, StringComparison.Ordinal);
    }

    private static IEnumerable<JsonElement> TypesIn(JsonElement json) => json.ValueKind switch
    {
        JsonValueKind.Object => json.EnumerateObject().SelectMany(member => member is { Name: "type", Value.ValueKind: not JsonValueKind.Object } ? [member.Value] : TypesIn(member.Value)),
        JsonValueKind.Array => json.EnumerateArray().SelectMany(TypesIn),
        _ => [],
    };

    private static IEnumerable<(string Call, int Status, JsonElement Content, IEnumerable<string> Headers)> AnswersIn(JsonElement document) =>
        from path in document.GetProperty("paths").EnumerateObject()
        from operation in path.Value.EnumerateObject().Where(member => member.Value.ValueKind is JsonValueKind.Object)
        from response in operation.Value.GetProperty("responses").EnumerateObject()
        let answer = Resolve(document, response.Value)
        let headers = answer.TryGetProperty("headers", out var all) ? all.EnumerateObject().Select(header => header.Name) : []
        select (operation.Value.GetProperty("operationId").GetString(), int.Parse(response.Name, CultureInfo.InvariantCulture), answer, headers);

    private static IEnumerable<JsonElement> ExamplesIn(JsonElement document, JsonElement body) => body.GetProperty("content").EnumerateObject()
        .SelectMany(media => media.Value.TryGetProperty("example", out var only)
            ? [only]
            : media.Value.GetProperty("examples").EnumerateObject().Select(example => Resolve(document, example.Value).GetProperty("value")));

    private static JsonElement Resolve(JsonElement document, JsonElement element) => element.TryGetProperty("$ref", out var reference)
        ? reference.GetString()!.Split('/').Skip(1).Aggregate(document, (at, name) => at.GetProperty(name))
        : element;

    private async Task<IReadOnlyList<JsonProperty>> PathsAsync() =>
        [.. (await reader.GetAsync("/openapi/v2.json")).Json.GetProperty("paths").EnumerateObject()
            .SelectMany(path => path.Value.EnumerateObject()).Where(member => member.Value.ValueKind is JsonValueKind.Object)];

    [GeneratedRegex("""(?:https?:)?//[a-z0-9]""", RegexOptions.IgnoreCase)]
    private static partial Regex OtherHost();

    [GeneratedRegex("""<script[^>]* src="([^"]+)"[^>]*>""")]
    private static partial Regex Script();
}
