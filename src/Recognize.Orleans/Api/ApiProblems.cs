using System.Text.Json;
using Microsoft.OpenApi;

namespace Recognize.Orleans.Api;

/// <summary>The error answers in the OpenAPI document.</summary>
internal static class ApiProblems
{
    private const string TraceId = "00-18f13b237da566425f73dcd1b8a6843b-357e89365d6b5335-00";

    private static readonly Dictionary<Problem, string> Details = new()
    {
        [Problem.InvalidRequest] = "userId must be 1 to 128 upper-case hexadecimal digits.",
        [Problem.WrongUser] = "userId must be the user whom the operation asks.",
        [Problem.AuthTypeNotAllowed] = "authType must be the one that the operation demands.",
        [Problem.PayloadMismatch] = "operationPayload must be the operation's, to the character, or absent.",
        [Problem.InvalidKey] = "X-Api-Key must be sent once and hold a key that is in force.",
        [Problem.ScopeMissing] = "This call needs a key with the scope 'operations'.",
        [Problem.OperationNotFound] = "operationId names no operation.",
        [Problem.NotAcceptable] = "Accept must admit application/json.",
        [Problem.OperationExists] = "operationId must be new: an operation of this id exists or existed.",
        [Problem.IdempotencyKeyReused] = "Idempotency-Key was sent before for this operationId, with another user or other members.",
        [Problem.AlreadyDecided] = "decision and authType must be those of the first decision, which never changes.",
        [Problem.OperationExpired] = "The operation's deadline, expiresAt, has passed: it can be neither decided nor cancelled.",
        [Problem.OperationCancelled] = "The operation was cancelled before it was decided.",
        [Problem.PendingLimitReached] = "The user has as many pending operations as the service allows; decide one of them to make room.",
        [Problem.PendingBytesReached] = "The payloads of the user's pending operations have as many bytes of UTF-8 as the service allows; decide one of them to make room.",
        [Problem.BodyTooLarge] = $"The body must have at most {OperationLimits.BodyBytes} bytes.",
        [Problem.UnsupportedMediaType] = "Content-Type must be application/json in UTF-8, without a Content-Encoding.",
        [Problem.TooManyCalls] = "A customer may have 256 calls in flight in one process, and as many that wait for a second at most. Await answers before you send more, and send this one again; it took no effect.",
        [Problem.Internal] = "The error is recorded. Whether the request took effect is unknown; send it again.",
        [Problem.TooManyWaits] = "As many clients wait for a change or listen to a stream as the service allows; ask without 'Prefer: wait', or later.",
        [Problem.Unavailable] = "Its database or a node does not do what it was asked. Send the request again.",
    };

    /// <summary>The answer of one status. Where a status has one problem, all calls share it.</summary>
    public static IOpenApiResponse Answer(IGrouping<int, Problem> problems, OpenApiDocument document)
    {
        foreach (var problem in problems)
        {
            document.AddComponent<IOpenApiExample>(problem.Name, Example(problem));
        }

        if (problems.ToList() is not [var only])
        {
            return Response(problems.Key, "One of several problems; `type` says which.", problems, document);
        }

        var name = NameOf(only);
        document.AddComponent<IOpenApiResponse>(name, Response(only.Status, $"{only.Title}.", [only], document));
        return new OpenApiResponseReference(name, document);
    }

    private static OpenApiResponse Response(int status, string description, IEnumerable<Problem> problems, OpenApiDocument document) => new()
    {
        Description = description,
        Headers = status switch
        {
            StatusCodes.Status401Unauthorized => DocumentedHeaders.Of(document, DocumentedHeaders.WwwAuthenticate),
            StatusCodes.Status429TooManyRequests or StatusCodes.Status503ServiceUnavailable => DocumentedHeaders.Of(document, DocumentedHeaders.RetryAfter),
            _ => null,
        },
        Content = new Dictionary<string, OpenApiMediaType>
        {
            ["application/problem+json"] = new()
            {
                Schema = new OpenApiSchemaReference(nameof(ProblemBody), document),
                Examples = problems.ToDictionary(problem => problem.Name, IOpenApiExample (problem) => new OpenApiExampleReference(problem.Name, document)),
            },
        },
    };

    private static OpenApiExample Example(Problem problem) => new()
    {
        Summary = problem.Title,
        Value = JsonSerializer.SerializeToNode(
            new ProblemBody
            {
                Type = problem.Type,
                Title = problem.Title,
                Status = problem.Status,
                Detail = Details[problem],
                TraceId = TraceId,
            },
            ProblemJson.Web.ProblemBody),
    };

    // too-many-calls becomes TooManyCalls, which generators make a type's name of.
    private static string NameOf(Problem problem) => string.Concat(problem.Name.Split('-').Select(word => $"{char.ToUpperInvariant(word[0])}{word[1..]}"));
}

/// <summary>The headers of answers in the OpenAPI document.</summary>
internal static class DocumentedHeaders
{
    public const string ETag = "ETag";
    public const string PreferenceApplied = Conditions.Applied;
    public const string RetryAfter = "Retry-After";
    public const string WwwAuthenticate = "WWW-Authenticate";

    private static readonly Dictionary<string, OpenApiHeader> All = new()
    {
        [ETag] = Header("The hash of the list, for If-None-Match: equal on every node and after every restart.", JsonSchemaType.String, "\"LPJNul-wow4m6DsqxbninQ\""),
        [PreferenceApplied] = Header("The wait that was followed; absent where none was preferred.", JsonSchemaType.String, "wait=60"),
        [RetryAfter] = Header("Send it again after this many seconds.", JsonSchemaType.Integer, 1),
        [WwwAuthenticate] = Header("How to send the key.", JsonSchemaType.String, "ApiKey realm=\"recognize\", header=\"X-Api-Key\""),
    };

    public static Dictionary<string, IOpenApiHeader> Of(OpenApiDocument document, params IEnumerable<string> names) => names.ToDictionary(name => name, IOpenApiHeader (name) =>
    {
        document.AddComponent<IOpenApiHeader>(name, All[name]);
        return new OpenApiHeaderReference(name, document);
    });

    private static OpenApiHeader Header(string description, JsonSchemaType type, System.Text.Json.Nodes.JsonNode example) =>
        new() { Description = description, Schema = new OpenApiSchema { Type = type }, Example = example };
}
