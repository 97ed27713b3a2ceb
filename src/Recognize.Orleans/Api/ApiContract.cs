using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.Unicode;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;
using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Api;

/// <summary>
/// What holds for every call under <c>/v2</c>: the key, its scope, the media types and the shape of a body.
/// </summary>
internal static class ApiContract
{
    private const string JsonType = "application/json";
    private const string KeyHeader = "X-Api-Key";

    /// <summary>
    /// The largest request body, in bytes: room for the longest texts of a call with every character escaped (six bytes
    /// each), and for names, white space and members that the service ignores.
    /// </summary>
    public const int LongestBody = 131_072;

    /// <summary>
    /// Checks the key of every call under <c>/v2</c> before anything else, answers 401 without a valid one, and forbids
    /// every cache to store an answer.
    /// </summary>
    public static IApplicationBuilder UseApiKeys(this IApplicationBuilder app)
    {
        var customers = app.ApplicationServices.GetRequiredService<CustomerDirectory>();
        return app.Use((context, next) =>
        {
            if (!context.Request.Path.StartsWithSegments("/v2", StringComparison.OrdinalIgnoreCase))
            {
                return next(context);
            }

            // The exception handler clears the headers of a failed answer and forbids caching itself.
            context.Response.Headers.CacheControl = "no-store";
            if (KeyOf(context.Request) is { } text && customers.Find(text) is { } key)
            {
                context.Features.Set(key);
                return next(context);
            }

            return InvalidKey(context).ExecuteAsync(context);
        });
    }

    /// <summary>The answer to a key that is not in force, or no longer in force.</summary>
    public static IResult InvalidKey(HttpContext context)
    {
        context.Response.Headers.WWWAuthenticate = $"ApiKey realm=\"recognize\", header=\"{KeyHeader}\"";
        return Problem.InvalidKey.Because($"{KeyHeader} must be sent once and hold a key that is in force.");
    }

    /// <summary>The answer when as many clients wait as the service allows.</summary>
    public static IResult TooManyWaits(HttpContext context)
    {
        context.Response.Headers.RetryAfter = "1";
        return Problem.TooManyWaits.Because("As many clients wait for a change or listen to a stream as the service allows; ask without 'Prefer: wait', or later.");
    }

    /// <summary>Gives a route its name, its scope and the checks that run before its handler.</summary>
    public static RouteHandlerBuilder Demands(this RouteHandlerBuilder route, string call, Scope[] anyOf, string answers = JsonType, bool bodyIsOptional = false) =>
        route.WithMetadata(new Call(call, anyOf, answers, bodyIsOptional));

    /// <summary>
    /// Answers HEAD at every route that answers GET (RFC 9110, 9.1). The server sends the headers and leaves the body
    /// out.
    /// </summary>
    public static TBuilder AnswersHead<TBuilder>(this TBuilder routes)
        where TBuilder : IEndpointConventionBuilder
    {
        routes.Finally(endpoint =>
        {
            if (endpoint.Metadata.OfType<IHttpMethodMetadata>().LastOrDefault() is { HttpMethods: var methods } && methods.Contains(HttpMethods.Get) && !methods.Contains(HttpMethods.Head))
            {
                endpoint.Metadata.Add(new HttpMethodMetadata([.. methods, HttpMethods.Head]));
            }
        });
        return routes;
    }

    /// <summary>
    /// Checks every call against what its route demands, and measures it. A request that is no call and has no answer
    /// yet is answered with a problem.
    /// </summary>
    // A filter on each route would do the same, but with three more state machines per call.
    public static IApplicationBuilder UseCalls(this IApplicationBuilder app)
    {
        var metrics = app.ApplicationServices.GetRequiredService<ApiMetrics>();
        return app.Use((context, next) =>
            context.GetEndpoint()?.Metadata.GetMetadata<Call>() is { } call ? AnswerAsync(context, call, next, metrics) : AnswerOtherAsync(context, next));
    }

    public static Customer Customer(this HttpContext context) => context.Key().Customer;

    /// <summary>The key of the request, which the pipeline has checked.</summary>
    public static ApiKey Key(this HttpContext context) => context.Features.GetRequiredFeature<ApiKey>();

    /// <summary>An answer in JSON.</summary>
    public static IResult Json<T>(T value, JsonTypeInfo<T> type) =>
        Json(JsonSerializer.SerializeToUtf8Bytes(value, type));

    /// <summary>An answer that is already JSON.</summary>
    public static IResult Json(byte[] body) => new JsonAnswer(body);

    /// <summary>Reads a body that is one JSON object.</summary>
    /// <param name="context">The request.</param>
    /// <param name="type">The type of the body.</param>
    /// <param name="otherwise">The value of a request without a body, where the body is optional.</param>
    /// <param name="ruleOf">The rule of a member that is no string.</param>
    /// <returns>The body, or the sentence that says what is wrong with it.</returns>
    public static async Task<(T? Body, string? Error)> ReadBodyAsync<T>(HttpContext context, JsonTypeInfo<T> type, T? otherwise = null, Func<string, string?>? ruleOf = null)
        where T : class
    {
        using var buffer = new MemoryStream((int)Math.Min(context.Request.ContentLength ?? 1024, ApiContract.LongestBody));
        await ReadToEndAsync(context, buffer);
        var bytes = buffer.GetBuffer().AsMemory(0, (int)buffer.Length);
        if (otherwise is not null && bytes.IsEmpty)
        {
            return (otherwise, null);
        }

        if (!Utf8.IsValid(bytes.Span))
        {
            return (null, "The body must be UTF-8.");
        }

        try
        {
            using var document = JsonDocument.Parse(bytes);
            var root = document.RootElement;
            if (root.ValueKind is not JsonValueKind.Object)
            {
                return (null, "The body must be a JSON object.");
            }

            var names = new HashSet<string>(StringComparer.Ordinal);
            foreach (var member in root.EnumerateObject())
            {
                if (!names.Add(member.Name))
                {
                    return (null, $"The body must not hold the member '{member.Name}' twice.");
                }
            }

            return (root.Deserialize(type), null);
        }
        catch (JsonException exception) when (exception.Path is ['$', '.', .. var member])
        {
            return (null, ruleOf?.Invoke(member) ?? $"{member} must be a string of valid Unicode.");
        }
        catch (JsonException exception)
        {
            return (null, $"The body is not valid JSON (line {exception.LineNumber + 1}, byte {exception.BytePositionInLine + 1}).");
        }
        catch (InvalidOperationException)
        {
            return (null, "The names of the body's members must be valid Unicode.");
        }
    }

    // The server reports some violations of HTTP with the exceptions of a broken connection, for example a chunk size
    // beyond 31 bits.
    private static async Task ReadToEndAsync(HttpContext context, MemoryStream buffer)
    {
        try
        {
            await context.Request.Body.CopyToAsync(buffer, context.RequestAborted);
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            throw new OperationCanceledException(context.RequestAborted);
        }
        catch (Exception exception) when (exception is not (BadHttpRequestException or OperationCanceledException))
        {
            throw new BadHttpRequestException("The body could not be read.", exception);
        }
    }

    private static async Task AnswerAsync(HttpContext context, Call call, RequestDelegate next, ApiMetrics metrics)
    {
        var started = Stopwatch.GetTimestamp();
        var status = 0;
        try
        {
            await (Refusal(context, call)?.ExecuteAsync(context) ?? next(context));
            status = context.Response.StatusCode;
        }
        catch (Exception exception)
        {
            status = ExceptionAnswers.StatusOf(exception);
            throw;
        }
        finally
        {
            // The time that a client waited for a change says nothing about how long an answer takes.
            if (context.Features.Get<WaitingClient>() is not { HasBegun: true })
            {
                metrics.Answered(context.Request.Method, context.Route(), status, started);
            }
        }
    }

    private static async Task AnswerOtherAsync(HttpContext context, RequestDelegate next)
    {
        await next(context);
        var response = context.Response;
        await (response.HasStarted ? Task.CompletedTask : response.StatusCode switch
        {
            StatusCodes.Status404NotFound => Problem.RouteNotFound.WriteAsync(context, "The path names no route of this API."),
            StatusCodes.Status405MethodNotAllowed => Problem.MethodNotAllowed.WriteAsync(context, $"The path knows the methods: {response.Headers.Allow}."),
            _ => Task.CompletedTask,
        });
    }

    private static string? KeyOf(HttpRequest request) =>
        request.Headers[KeyHeader] is [{ Length: > 0 and <= CustomerDirectory.LongestKey } key] && !key.AsSpan().ContainsAnyExceptInRange('!', '~') ? key : null;

    private static IResult? Refusal(HttpContext context, Call call)
    {
        var request = context.Request;
        if (!context.Key().Scopes.Overlaps(call.AnyOf))
        {
            var names = string.Join("' or '", call.AnyOf.Select(scope => scope.Name));
            return Problem.ScopeMissing.Because($"This call needs a key with the scope '{names}'.");
        }

        if (!Accepts(request.Headers.Accept, call.Answers))
        {
            return Problem.NotAcceptable.Because($"Accept must admit {call.Answers}.");
        }

        // Whoever names a type means to send a body, however short it is.
        var maySendNone = call.BodyIsOptional && request.Headers.ContentType.Count == 0 && !SendsBody(context);
        return HttpMethods.IsPost(request.Method) && !SendsJson(request) && !maySendNone ? UnsupportedMediaType() : null;
    }

    private static IResult UnsupportedMediaType() =>
        Problem.UnsupportedMediaType.Because("Content-Type must be application/json in UTF-8, without a Content-Encoding.");

    /// <summary>
    /// Whether an Accept header admits a media type: the most specific matching range decides (RFC 9110, 12.5.1).
    /// </summary>
    internal static bool Accepts(StringValues accept, string type)
    {
        // Nearly every client sends one of these, and none of them needs parsing.
        if (accept is [] or ["*/*"] || (accept is [var only] && only == type))
        {
            return true;
        }

        return accept.All(string.IsNullOrWhiteSpace) || IsAmong(accept, type);
    }

    private static bool IsAmong(StringValues accept, string type)
    {
        if (!MediaTypeHeaderValue.TryParseList([.. accept.OfType<string>()], out var ranges))
        {
            return false;
        }

        var best = ranges.Select(range => (Precision: Precision(range, type), range.Quality)).Where(range => range.Precision > 0);
        return best.OrderByDescending(range => range.Precision).ThenByDescending(range => range.Quality ?? 1).FirstOrDefault() is ( > 0, not 0);
    }

    private static int Precision(MediaTypeHeaderValue range, string type)
    {
        if (range.MatchesAllTypes)
        {
            return 1;
        }

        if (range.MatchesAllSubTypes)
        {
            return type.StartsWith($"{range.Type}/", StringComparison.OrdinalIgnoreCase) ? 2 : 0;
        }

        // JSON and event streams are UTF-8 by definition (RFC 8259; HTML, 9.2.5), so a range with that charset matches.
        // Any other parameter asks for another type.
        var charset = range.Charset;
        var parameters = range.Parameters.Count(parameter => !parameter.Name.Equals("q", StringComparison.OrdinalIgnoreCase));
        var plain = parameters == 0 || (parameters == 1 && HeaderUtilities.RemoveQuotes(charset).Equals("utf-8", StringComparison.OrdinalIgnoreCase));
        return plain && range.MediaType.Equals(type, StringComparison.OrdinalIgnoreCase) ? 3 + parameters : 0;
    }

    private static bool SendsBody(HttpContext context) => context.Features.GetRequiredFeature<IHttpRequestBodyDetectionFeature>().CanHaveBody;

    private static bool SendsJson(HttpRequest request) =>
        request.Headers.ContentType.Count == 1
        && MediaTypeHeaderValue.TryParse(request.ContentType, out var type)
        && type.MediaType.Equals("application/json", StringComparison.OrdinalIgnoreCase)
        && (!type.Charset.HasValue || HeaderUtilities.RemoveQuotes(type.Charset).Equals("utf-8", StringComparison.OrdinalIgnoreCase))
        && (StringValues.IsNullOrEmpty(request.Headers.ContentEncoding) || request.Headers.ContentEncoding is ["identity"]);

    // The framework's results for bytes are made for files: they handle ranges and conditional requests, and create a
    // logger.
    private sealed class JsonAnswer(byte[] body) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            var response = httpContext.Response;
            response.ContentType = JsonType;
            response.ContentLength = body.Length;
            if (body.Length <= Sending.PartBytes)
            {
                await response.Body.WriteAsync(body);
                return;
            }

            using var room = await httpContext.RequestServices.GetRequiredService<UnreadBytes>().ReserveAsync(httpContext.Customer().Name, body.Length);
            await response.SendAsync(body);
        }
    }
}

/// <summary>What a route demands of its callers.</summary>
/// <param name="Name">Its operation id in the OpenAPI document.</param>
/// <param name="AnyOf">The key must have one of these scopes.</param>
/// <param name="Answers">The media type of its answers.</param>
/// <param name="BodyIsOptional">Whether it can be called without a body, unlike other routes with its method.</param>
internal sealed record Call(string Name, Scope[] AnyOf, string Answers, bool BodyIsOptional);
