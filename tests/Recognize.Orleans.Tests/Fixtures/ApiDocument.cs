using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Json.Schema;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>The API's document. Every answer that a test gets is checked against it.</summary>
internal static class ApiDocument
{
    public const string Name = "openapi/v2.json";

    public static string Text { get; } = File.ReadAllText(Repository.PathOf(Name));

    public static JsonElement Json { get; } = JsonDocument.Parse(Text).RootElement;

    public static IReadOnlyList<DocumentedCall> Calls { get; } =
    [
        .. from path in Json.GetProperty("paths").EnumerateObject()
           from call in path.Value.EnumerateObject()
           where call.Value.ValueKind is JsonValueKind.Object
           select new DocumentedCall(call.Name.ToUpperInvariant(), path.Name, call.Value),
    ];

    // What is answered under /v2 where no call is.
    private static readonly Dictionary<int, string> Elsewhere = new() { [401] = "invalid-api-key", [404] = "route-not-found", [405] = "method-not-allowed", [429] = "too-many-calls" };

    /// <summary>Fails the test when the document does not have the answer.</summary>
    /// <returns>The answer, with its name in the document.</returns>
    public static Answer Check(string method, string target, Answer answer)
    {
        var path = PathOf(target);
        if (!$"{path}/".StartsWith("/v2/", StringComparison.OrdinalIgnoreCase) || IsOfAnotherServer(answer))
        {
            return answer;
        }

        if (Calls.FirstOrDefault(call => call.Is(method is "HEAD" ? "GET" : method, path)) is { } call)
        {
            call.Check(answer, isHead: method is "HEAD");
            return answer with { Documented = $"{call.Name} {answer.Status} {answer.ProblemName}".TrimEnd() };
        }

        Assert.True(
            Elsewhere.TryGetValue(answer.Status, out var problem) && (method is "HEAD" || problem == answer.ProblemName),
            $"{method} {path} is answered {answer.Status} and is no call of {Name}: add it to the paths. The answer: {answer.Body}");
        return answer;
    }

    /// <summary>The element, or what it refers to.</summary>
    public static JsonElement Resolve(JsonElement element) => element.TryGetProperty("$ref", out var reference)
        ? reference.GetString()!.Split('/').Skip(1).Aggregate(Json, (at, name) => at.GetProperty(name))
        : element;

    /// <summary>The schema, but without room for what it does not name: a member or a value that came later has to be documented.</summary>
    public static JsonSchema Strict(JsonElement schema)
    {
        var strict = JsonNode.Parse(schema.GetRawText())!.AsObject();
        strict["$schema"] = "https://json-schema.org/draft/2020-12/schema";
        strict["$defs"] = JsonNode.Parse(Json.GetProperty("components").GetProperty("schemas").GetRawText());
        Close(strict);
        return JsonSchema.FromText(strict.ToJsonString());
    }

    private static void Close(JsonNode? node)
    {
        if (node is JsonObject schema)
        {
            if (schema["properties"] is JsonObject && !schema.ContainsKey("additionalProperties"))
            {
                schema["additionalProperties"] = false;
            }

            if (schema["x-extensible-enum"] is { } values)
            {
                schema["enum"] = values.DeepClone();
            }

            if (schema["$ref"] is JsonValue reference)
            {
                schema["$ref"] = ((string)reference!).Replace("#/components/schemas/", "#/$defs/", StringComparison.Ordinal);
            }

            foreach (var extension in schema.Select(member => member.Key).Where(name => name.StartsWith("x-", StringComparison.Ordinal)).ToList())
            {
                schema.Remove(extension);
            }
        }

        var inner = node switch
        {
            JsonObject members => members.Select(member => member.Value),
            JsonArray items => items,
            _ => [],
        };
        foreach (var part in inner.ToList())
        {
            Close(part);
        }
    }

    // A proxy tells its name, the service none, and the tests' own proxy tells whom it asked. What is no HTTP is refused by the web
    // server itself, with a status and nothing else.
    private static bool IsOfAnotherServer(Answer answer) =>
        (answer["Server"] is not null && (answer[Nginx.Asked] is null || answer.Status is 502 or 504))
        || (answer.Status is 400 or 408 or 414 or 431 or 505 && answer is { Body: "" } && answer["Content-Type"] is null);

    // As it was sent, or after the name of a server.
    private static string PathOf(string target)
    {
        var path = target.Split('?', '#')[0];
        var authority = path.IndexOf("://", StringComparison.Ordinal);
        return authority < 0 ? path : path[Math.Max(0, path.IndexOf('/', authority + 3))..];
    }
}

/// <summary>A call as the document has it.</summary>
internal sealed class DocumentedCall(string method, string path, JsonElement call)
{
    private readonly string[] template = path.Split('/');
    private readonly Dictionary<int, DocumentedAnswer> answers = call.GetProperty("responses").EnumerateObject().ToDictionary(
        answer => int.Parse(answer.Name, CultureInfo.InvariantCulture),
        answer => new DocumentedAnswer(ApiDocument.Resolve(answer.Value)));

    public string Name { get; } = call.GetProperty("operationId").GetString()!;

    public string Route => $"{method} {path}";

    /// <summary>Each answer with each problem that it may have: <c>getOperation 404 operation-not-found</c>.</summary>
    public IEnumerable<string> Answers => answers.SelectMany(answer => answer.Value.Problems.DefaultIfEmpty(""), (answer, problem) => $"{Name} {answer.Key} {problem}".TrimEnd());

    public JsonSchema SchemaOf(int status) => answers[status].Schema!;

    public bool Is(string requested, string target)
    {
        var segments = target.Split('/');
        segments = segments is [.., _, ""] ? segments[..^1] : segments;
        return requested == method
            && segments.Length == template.Length
            && segments.Zip(template).All(pair => pair.Second.StartsWith('{') ? pair.First.Length > 0 : pair.First.Equals(pair.Second, StringComparison.OrdinalIgnoreCase));
    }

    public void Check(Answer answer, bool isHead)
    {
        var faults = answers.TryGetValue(answer.Status, out var documented)
            ? documented.FaultsIn(answer, isHead).ToList()
            : [$"Add the status to the responses of {Name} in {ApiDocument.Name}."];
        Assert.True(faults.Count == 0, $"{Route} answered {answer.Status}, which {ApiDocument.Name} does not have so.\n{string.Join('\n', faults)}\nThe answer: {answer.Body}");
    }
}

/// <summary>An answer as the document has it.</summary>
internal sealed class DocumentedAnswer
{
    // What holds for every answer: HTTP's own headers, that no cache may keep it, and what a proxy adds.
    private static readonly string[] OfEveryAnswer =
        ["Date", "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Type", "Content-Length", "Cache-Control", "Pragma", "Expires", "Server", Nginx.Asked];

    // An event's data: what the call's description says, and no schema can.
    private static readonly Lazy<JsonSchema> PendingList = new(() => ApiDocument.Calls.Single(call => call.Name is "listPendingOperations").SchemaOf(200));

    private readonly string? type;
    private readonly Dictionary<string, (bool IsRequired, JsonSchema Schema)> headers = new(StringComparer.OrdinalIgnoreCase);

    public DocumentedAnswer(JsonElement answer)
    {
        foreach (var (name, header) in Members(answer, "headers").Select(member => (member.Name, ApiDocument.Resolve(member.Value))))
        {
            headers[name] = (header.TryGetProperty("required", out var required) && required.GetBoolean(), ApiDocument.Strict(header.GetProperty("schema")));
        }

        var content = Members(answer, "content").ToList();
        if (content is [var only])
        {
            type = only.Name;
            Schema = ApiDocument.Strict(only.Value.GetProperty("schema"));
            Problems = type is "application/problem+json" ? [.. only.Value.GetProperty("examples").EnumerateObject().Select(example => example.Name)] : [];
        }
    }

    /// <summary>What the body has to be; null: there is none.</summary>
    public JsonSchema? Schema { get; }

    public IReadOnlyList<string> Problems { get; } = [];

    public IEnumerable<string> FaultsIn(Answer answer, bool isHead)
    {
        foreach (var header in answer.Headers.Keys.Except(OfEveryAnswer, StringComparer.OrdinalIgnoreCase).Where(name => !headers.ContainsKey(name)))
        {
            yield return $"Add {header} to the headers of the answer.";
        }

        // A proxy keeps what is told to itself, such as X-Accel-Buffering.
        var mayBeTakenAway = answer["Server"] is not null;
        foreach (var (name, (isRequired, value)) in headers)
        {
            var fault = answer[name] is { } text ? FaultsIn(value, text.All(char.IsAsciiDigit) ? text : JsonSerializer.Serialize(text)) : isRequired && !mayBeTakenAway ? "It is missing." : "";
            if (fault.Length > 0)
            {
                yield return $"The header {name}: {fault}";
            }
        }

        if (answer["Cache-Control"]?.Contains("no-store", StringComparison.Ordinal) is not true)
        {
            yield return "Every answer has Cache-Control: no-store.";
        }

        if (answer["Content-Type"] != type)
        {
            yield return $"Its Content-Type is {answer["Content-Type"] ?? "none"}, the document's {type ?? "none"}.";
        }
        else if (!isHead)
        {
            foreach (var fault in FaultsInBody(answer))
            {
                yield return fault;
            }
        }
    }

    private IEnumerable<string> FaultsInBody(Answer answer)
    {
        if (Schema is null)
        {
            return answer.Body.Length == 0 ? [] : ["It has a body."];
        }

        var faults = type is "text/event-stream" ? FaultsInEvents(answer.Body) : FaultsIn(Schema, answer.Body);
        var problem = answer.ProblemName is { } name && !Problems.Contains(name) ? $"Add {name} to the examples of the answer." : "";
        var status = answer.ProblemName is not null && answer.Json.GetProperty("status").GetInt32() != answer.Status ? "Its body tells another status." : "";
        return new[] { faults, problem, status }.Where(fault => fault.Length > 0);
    }

    // A stream that was cut may end in the middle of an event.
    private static string FaultsInEvents(string text) => string.Join("; ", text.Split("\n\n")[..^1].Where(part => part is not ":").Select(part =>
        part.Split('\n') is ["event: pending", ['i', 'd', ':', ' ', ..], ['d', 'a', 't', 'a', ':', ' ', .. var data]] ? FaultsIn(PendingList.Value, data) : $"It is no event that the call describes: {part}")
        .Where(fault => fault.Length > 0));

    private static JsonElement.ObjectEnumerator Members(JsonElement json, string name) => json.TryGetProperty(name, out var found) ? found.EnumerateObject() : default;

    private static string FaultsIn(JsonSchema schema, string json)
    {
        var result = schema.Evaluate(JsonDocument.Parse(json).RootElement, new() { OutputFormat = OutputFormat.List });
        var faults = from part in result.Details ?? []
                     from error in part.Errors ?? []
                     let place = part.SchemaLocation.Fragment
                     select place.Contains("/additionalProperties", StringComparison.Ordinal) ? $"add {part.InstanceLocation} to the properties of the schema ({place})"
                         : error.Key is "enum" ? $"add the value of {part.InstanceLocation} to the schema's x-extensible-enum ({place})"
                         : $"{part.InstanceLocation}: {error.Value} ({place})";
        return result.IsValid ? "" : $"It is not as its schema says: {string.Join("; ", faults.DefaultIfEmpty("no reason given"))}.";
    }
}

/// <summary>Checks the answers that a client library gets.</summary>
internal sealed class DocumentedAnswers : DelegatingHandler
{
    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var response = await base.SendAsync(request, cancellationToken);
        if (response.Content.Headers.ContentType?.MediaType is not "text/event-stream")
        {
            await response.Content.LoadIntoBufferAsync(cancellationToken);
            ApiDocument.Check(request.Method.Method, request.RequestUri!.PathAndQuery, await Answer.ReadAsync(response));
        }

        return response;
    }
}
