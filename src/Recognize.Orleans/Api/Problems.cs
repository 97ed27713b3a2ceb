using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Recognize.Orleans.Api;

/// <summary>An error answer: problem details (RFC 9457) with a stable type.</summary>
internal sealed record ProblemBody(string Type, string Title, int Status, string Detail, string TraceId);

/// <summary>Every kind of error answer that the API gives.</summary>
/// <param name="Status">The HTTP status.</param>
/// <param name="Name">The type without its <c>urn:recognize:</c>.</param>
/// <param name="Title">The type in words.</param>
internal sealed record Problem(int Status, string Name, string Title)
{
    public static readonly Problem InvalidRequest = new(400, "invalid-request", "The request breaks a rule of the API");
    public static readonly Problem InvalidKey = new(401, "invalid-api-key", "No valid API key");
    public static readonly Problem ScopeMissing = new(403, "scope-missing", "The API key may not do this");
    public static readonly Problem RouteNotFound = new(404, "route-not-found", "There is nothing at this path");
    public static readonly Problem MethodNotAllowed = new(405, "method-not-allowed", "The path does not know this method");
    public static readonly Problem NotAcceptable = new(406, "not-acceptable", "The client does not accept the type of the answer");
    public static readonly Problem BodyTooLarge = new(413, "body-too-large", "The body is too large");
    public static readonly Problem UnsupportedMediaType = new(415, "unsupported-media-type", "The body is not JSON in UTF-8");
    public static readonly Problem TooManyCalls = new(429, "too-many-calls", "The customer sends too many calls");
    public static readonly Problem BadRequest = new(400, "bad-request", "The request is not valid HTTP");
    public static readonly Problem Internal = new(500, "internal-error", "The service failed");
    public static readonly Problem TooManyWaits = new(503, "too-many-waits", "Too many clients wait already");
    public static readonly Problem Unavailable = new(503, "service-unavailable", "The service cannot answer now");

    public string Type => $"urn:recognize:{Name}";

    /// <summary>This problem as the answer of an endpoint.</summary>
    public IResult Because(string detail) => new Answer(this, detail);

    /// <summary>This problem as the answer of a middleware.</summary>
    public async Task WriteAsync(HttpContext context, string detail)
    {
        if (Status < StatusCodes.Status500InternalServerError || this == TooManyWaits)
        {
            context.RequestServices.GetRequiredService<ApiMetrics>().Refused(Name);
        }

        var body = JsonSerializer.SerializeToUtf8Bytes(new ProblemBody(Type, Title, Status, detail, context.TraceId()), ProblemJson.Web.ProblemBody);
        var response = context.Response;
        response.Headers.Remove(Conditions.Applied);
        response.StatusCode = Status;
        response.ContentType = "application/problem+json";
        response.ContentLength = body.Length;
        await response.Body.WriteAsync(body);
    }

    private sealed class Answer(Problem problem, string detail) : IResult
    {
        public Task ExecuteAsync(HttpContext httpContext) => problem.WriteAsync(httpContext, detail);
    }
}

/// <summary>What error answers, the log and the metrics call a request.</summary>
internal static class RequestNames
{
    /// <summary>The id by which an error answer, its line in the log and its trace are matched.</summary>
    public static string TraceId(this HttpContext context) => Activity.Current?.Id ?? context.TraceIdentifier;

    /// <summary>The route, with placeholders for ids.</summary>
    public static string Route(this HttpContext context) => (context.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText ?? "(no route)";
}

[JsonSerializable(typeof(ProblemBody))]
internal sealed partial class ProblemJson : JsonSerializerContext
{
    public static ProblemJson Web { get; } = new(ApiJson.NewOptions());
}
