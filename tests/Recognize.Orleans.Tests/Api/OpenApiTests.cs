using System.Net;
using System.Text.Json;
using System.Text.RegularExpressions;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

[Collection("SQLite")]
public sealed partial class OpenApiTests(SqliteService fixture)
{
    private static JsonElement Document => ApiDocument.Json;

    private static IEnumerable<JsonProperty> Operations =>
        Document.GetProperty("paths").EnumerateObject().SelectMany(path => path.Value.EnumerateObject()).Where(member => member.Value.ValueKind is JsonValueKind.Object);

    // Whoever has no key reads the document.
    private readonly ApiClient reader = new(fixture.Service.Api, key: null);

    [Fact]
    public async Task The_document_of_the_repository_is_served_as_it_is()
    {
        var answer = (await reader.GetAsync("/openapi/v2.json")).ShouldBe(200);

        Assert.Equal(ApiDocument.Text, answer.Body);
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
    public void Every_problem_type_is_in_the_document_as_it_is_answered()
    {
        var known = ValuesOf("ProblemType").Select(type => type["urn:recognize:".Length..]).ToList();
        var examples = Document.GetProperty("components").GetProperty("examples").EnumerateObject().Select(example => example.Value.GetProperty("value")).ToList();
        var shown = examples.Select(problem => (problem.GetProperty("type").GetString()!, problem.GetProperty("title").GetString()!, problem.GetProperty("status").GetInt32()));

        // What is answered where no call is belongs to no call.
        var answered = Problems.All.Except([Problem.RouteNotFound, Problem.MethodNotAllowed]).Select(problem => (problem.Type, problem.Title, problem.Status));

        ShouldBeSame(Problems.All.Select(problem => problem.Name), known, "x-extensible-enum of ProblemType");
        ShouldBeSame(answered.Select(problem => $"{problem}"), shown.Select(problem => $"{problem}"), "examples of the components");
    }

    [Fact]
    public void Every_limit_is_told()
    {
        Assert.All(
            (int[])[OperationLimits.OperationId, OperationLimits.ExternalUserId, OperationLimits.Payload, OperationLimits.IdempotencyKey, OperationLimits.Reason],
            limit => Assert.Contains($"\"maxLength\": {limit}", ApiDocument.Text, StringComparison.Ordinal));
        Assert.Contains($"\"maximum\": {OperationLimits.LongestLifetime}", ApiDocument.Text, StringComparison.Ordinal);
        Assert.Contains($"{{1,{OperationLimits.UserId}}}$", ApiDocument.Text, StringComparison.Ordinal);
        Assert.Contains($"{ApiContract.LongestBody} bytes", ApiDocument.Text, StringComparison.Ordinal);
    }

    [Fact]
    public void Every_call_tells_its_answer_and_its_scopes() => Assert.All(Operations, operation =>
    {
        var keys = operation.Value.GetProperty("security").EnumerateArray().SelectMany(one => one.EnumerateObject()).Select(key => key.Name.Replace("Key", "", StringComparison.Ordinal));
        var type = operation.Value.GetProperty("operationId").GetString() is "streamPendingOperations" ? "text/event-stream" : "application/json";

        Assert.EndsWith($"Needs the scope {string.Join(" or ", keys).ToLowerInvariant()}.", operation.Value.GetProperty("description").GetString(), StringComparison.Ordinal);
        Assert.True(ApiDocument.Resolve(operation.Value.GetProperty("responses").GetProperty("200")).GetProperty("content").TryGetProperty(type, out _));
    });

    [Fact]
    public void The_routes_of_the_service_and_the_calls_of_the_document_are_the_same_with_their_scopes()
    {
        var routes = from route in fixture.Service.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>()
                     where route.RoutePattern.RawText!.StartsWith("/v2", StringComparison.Ordinal)
                     let methods = route.Metadata.GetRequiredMetadata<IHttpMethodMetadata>().HttpMethods.Where(method => method is not "HEAD")
                     let call = route.Metadata.GetMetadata<Call>()
                     select $"{string.Join(' ', methods)} {route.RoutePattern.RawText} ({call?.Name}: {string.Join(", ", call?.AnyOf.Select(scope => scope.Name) ?? [])})";
        var calls = from path in Document.GetProperty("paths").EnumerateObject()
                    from call in path.Value.EnumerateObject().Where(member => member.Value.ValueKind is JsonValueKind.Object)
                    let keys = call.Value.GetProperty("security").EnumerateArray().SelectMany(one => one.EnumerateObject()).Select(key => key.Name.Replace("Key", "", StringComparison.Ordinal))
                    select $"{call.Name.ToUpperInvariant()} {path.Name} ({call.Value.GetProperty("operationId").GetString()}: {string.Join(", ", keys).ToLowerInvariant()})";

        ShouldBeSame(routes, calls, "paths");
    }

    [Fact]
    public void Every_body_has_an_example()
    {
        var requests = Operations.Where(operation => operation.Name is "post").Select(operation => operation.Value.GetProperty("requestBody"));

        Assert.All(requests, request => Assert.NotEmpty(ExamplesIn(request)));
        Assert.All(
            Operations.SelectMany(operation => operation.Value.GetProperty("responses").EnumerateObject()).Where(answer => answer.Name is not "304"),
            answer => Assert.NotEmpty(ExamplesIn(ApiDocument.Resolve(answer.Value))));
    }

    // Whoever opens the page for people sends these as they are.
    [Fact]
    public async Task The_examples_can_be_sent_one_after_the_other()
    {
        var backend = new ApiClient(fixture.Service.Api, TestCustomers.AcmeOperations);
        var approver = new ApiClient(fixture.Service.Api, TestCustomers.AcmeDecisions);
        var parameters = Document.GetProperty("components").GetProperty("parameters");
        var list = $"/v2/users/{parameters.GetProperty("UserId").GetProperty("example").GetString()}/operations";
        var payment = $"/v2/operations/{parameters.GetProperty("OperationId").GetProperty("example").GetString()}";

        (await backend.PostAsync(list, Example("/v2/users/{userId}/operations", "payment"))).ShouldBeSuccess();
        (await backend.PostAsync(list, Example("/v2/users/{userId}/operations", "least"))).ShouldBeSuccess();
        (await approver.PostAsync($"{payment}/decision", Example("/v2/operations/{operationId}/decision", "approve"))).ShouldBeSuccess();
        (await approver.PostAsync($"{payment}/decision", Example("/v2/operations/{operationId}/decision", "deny"))).ShouldBe(OperationProblems.AlreadyDecided);
        (await backend.PostAsync("/v2/operations/login-2025-0001/cancel", Example("/v2/operations/{operationId}/cancel", "reason"))).ShouldBeSuccess();
        var read = (await backend.GetAsync(payment)).ShouldBe(200).Json;

        var shown = Document.GetProperty("paths").GetProperty("/v2/operations/{operationId}").GetProperty("get").GetProperty("responses").GetProperty("200");
        Assert.Equal(ExamplesIn(shown).First().EnumerateObject().Select(member => member.Name), read.EnumerateObject().Select(member => member.Name));
        Assert.Equal("approved", read.GetProperty("status").GetString());
        Assert.Equal(ExamplesIn(shown).First().GetProperty("operationPayload").GetString(), read.GetProperty("operationPayload").GetString());

        string Example(string path, string name) => Document.GetProperty("paths").GetProperty(path).GetProperty("post").GetProperty("requestBody").GetProperty("content")
            .GetProperty("application/json").GetProperty("examples").GetProperty(name).GetProperty("value").GetRawText();
    }

    [Fact]
    public void A_later_value_of_a_set_breaks_no_client_that_was_generated_before()
    {
        Assert.DoesNotContain("\"enum\"", ApiDocument.Text, StringComparison.Ordinal);
        Assert.Equal(Enum.GetValues<AuthType>().Select(type => AuthTypeText.Of(type)), ValuesOf("AuthType"));
        Assert.All(ValuesOf("OperationStatus"), status => Assert.NotNull(OperationBody.StatusOf(status)));
        Assert.Equal(Enum.GetValues<OperationStatus>().Length, ValuesOf("OperationStatus").Count());
    }

    [Fact]
    public void Members_have_one_type_and_are_never_null()
    {
        Assert.DoesNotContain("\"null\"", ApiDocument.Text, StringComparison.Ordinal);
        Assert.All(TypesIn(Document), type => Assert.Equal(JsonValueKind.String, type.ValueKind));
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

    private static IEnumerable<JsonElement> ExamplesIn(JsonElement body) => body.GetProperty("content").EnumerateObject()
        .SelectMany(media => media.Value.TryGetProperty("example", out var only)
            ? [only]
            : media.Value.GetProperty("examples").EnumerateObject().Select(example => ApiDocument.Resolve(example.Value).GetProperty("value")));

    private static IEnumerable<string> ValuesOf(string set) =>
        Document.GetProperty("components").GetProperty("schemas").GetProperty(set).GetProperty("x-extensible-enum").EnumerateArray().Select(value => value.GetString()!);

    private static void ShouldBeSame(IEnumerable<string> served, IEnumerable<string> documented, string where)
    {
        var (have, told) = (served.ToList(), documented.ToList());
        Assert.True(!have.Except(told).Any(), $"Add to the {where} in {ApiDocument.Name}: {string.Join(", ", have.Except(told))}");
        Assert.True(!told.Except(have).Any(), $"Nothing in the service is what the {where} in {ApiDocument.Name} have: {string.Join(", ", told.Except(have))}");
    }

    [GeneratedRegex("""(?:https?:)?//[a-z0-9]""", RegexOptions.IgnoreCase)]
    private static partial Regex OtherHost();

    [GeneratedRegex("""<script[^>]* src="([^"]+)"[^>]*>""")]
    private static partial Regex Script();
}
