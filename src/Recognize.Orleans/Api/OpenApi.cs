using System.ComponentModel.DataAnnotations;
using System.Text.Json.Nodes;
using Microsoft.OpenApi;
using Scalar.AspNetCore;

namespace Recognize.Orleans.Api;

/// <summary>The OpenAPI document of <c>/v2</c> and the page that shows it.</summary>
internal static class OpenApi
{
    private const string KeyScheme = "ApiKey";

    /// <summary>Declares the problems that a route can answer, in addition to those that every route can.</summary>
    public static RouteHandlerBuilder Refuses(this RouteHandlerBuilder route, params Problem[] problems) => route.WithMetadata(new Refusals(problems));

    /// <summary>Declares the headers and query members that a route reads.</summary>
    public static RouteHandlerBuilder Takes(this RouteHandlerBuilder route, params OpenApiParameter[] parameters) => route.WithMetadata(new ApiParameters(parameters));

    public static void AddApiDocument(this IServiceCollection services) => services.AddOpenApi("v2", options =>
    {
        options.ShouldInclude = description => description.RelativePath?.StartsWith("v2/", StringComparison.Ordinal) is true && description.HttpMethod != HttpMethods.Head;
        options.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new()
            {
                Title = "Recognize.Orleans Operations API",
                Version = "v2",
                Description = "A backend creates an operation for a user, the user decides it, the backend reads the result. "
                    + "Limits count UTF-16 code units. Path segments are percent-encoded UTF-8. "
                    + $"A body has at most {OperationLimits.BodyBytes} bytes; its unknown members are ignored. "
                    + "A customer may have 256 calls in flight in one process of the service, unless it is set up otherwise, and where it is set up so, send it a number of calls per second: "
                    + "beyond either the answer is 429, and the call took no effect. Calls that wait (Prefer: wait) and event streams do not count while they wait.",
            };
            document.Servers = [];
            document.Components ??= new();
            document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
            {
                [KeyScheme] = new OpenApiSecurityScheme
                {
                    Type = SecuritySchemeType.ApiKey,
                    In = ParameterLocation.Header,
                    Name = "X-Api-Key",
                    Description = "A key of a customer. Scope operations: create, cancel, list and read. Scope decisions: list and decide.",
                },
            };
            document.Security = [new() { [new OpenApiSecuritySchemeReference(KeyScheme, document)] = [] }];
            return Task.CompletedTask;
        });
        options.AddSchemaTransformer((schema, context, _) =>
        {
            var allowed = context.JsonPropertyInfo?.AttributeProvider?.GetCustomAttributes(typeof(AllowedValuesAttribute), inherit: false);
            if (allowed is [AllowedValuesAttribute { Values: var values }])
            {
                schema.Enum = [.. values.Select(value => JsonValue.Create((string)value!))];
            }

            // An optional member without a value is absent, and a number is never written as text, even where the
            // reader accepts it.
            schema.Type &= ~JsonSchemaType.Null;
            if (schema.Type?.HasFlag(JsonSchemaType.Integer) is true)
            {
                schema.Type = JsonSchemaType.Integer;
                schema.Pattern = null;
            }

            return Task.CompletedTask;
        });
        options.AddOperationTransformer(async (operation, context, cancellation) =>
        {
            var metadata = context.Description.ActionDescriptor.EndpointMetadata;
            var scopes = metadata.OfType<Call>().Single().AnyOf;
            operation.Description = $"{operation.Description} Needs the scope {scopes.ToString().ToLowerInvariant().Replace(", ", " or ", StringComparison.Ordinal)}.".TrimStart();
            foreach (var parameter in (operation.Parameters ?? []).OfType<OpenApiParameter>())
            {
                Describe(parameter);
            }

            foreach (var header in metadata.OfType<ApiParameters>().SelectMany(headers => headers.All))
            {
                operation.Parameters!.Add(header);
            }

            var problems = metadata.OfType<Refusals>().SelectMany(refusals => refusals.Problems)
                .Concat([Problem.InvalidKey, Problem.ScopeMissing, Problem.NotAcceptable, Problem.TooManyCalls, Problem.Internal, Problem.Unavailable]);
            var schema = await context.GetOrCreateSchemaAsync(typeof(ProblemBody), cancellationToken: cancellation);
            context.Document!.AddComponent(nameof(ProblemBody), schema);
            operation.Responses ??= [];
            foreach (var status in problems.GroupBy(problem => problem.Status).OrderBy(group => group.Key))
            {
                operation.Responses[$"{status.Key}"] = Answer(status, context.Document!);
            }
        });
    });

    public static void MapApiDocument(this IEndpointRouteBuilder app)
    {
        app.MapOpenApi("/openapi/{documentName:regex(^v2$)}.json").AnswersHead();
        app.MapScalarApiReference("/docs", options => options
            .HideDeveloperTools()
            .DisableMcp()
            .WithTitle("Recognize.Orleans Operations API")
            .AddDocument("v2", routePattern: "/openapi/v2.json")
            .DisableDefaultFonts()
            .DisableTelemetry()
            .DisableAgent()
            .HideClientButton())
            .AnswersHead()
            .AddEndpointFilter((invocation, next) =>
            {
                // Everything that the page loads or sends stays on this server.
                invocation.HttpContext.Response.Headers.ContentSecurityPolicy =
                    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:";
                return next(invocation);
            });
    }

    private static void Describe(OpenApiParameter parameter)
    {
        (parameter.Description, parameter.Schema) = parameter.Name switch
        {
            "userId" => ("The user: upper-case hexadecimal digits.", new OpenApiSchema { Type = JsonSchemaType.String, Pattern = "^[0-9A-F]{1,128}$" }),
            "operationId" => ("The client's id of the operation, percent-encoded.", new OpenApiSchema { Type = JsonSchemaType.String, MinLength = 1, MaxLength = OperationLimits.OperationId }),
            _ => throw new InvalidOperationException($"The parameter {parameter.Name} has no description."),
        };
    }

    private static OpenApiResponse Answer(IGrouping<int, Problem> problems, OpenApiDocument document)
    {
        var response = new OpenApiResponse
        {
            Description = string.Join(" ", problems.Select(problem => $"`{problem.Type}`: {problem.Title}.")),
            Content = new Dictionary<string, OpenApiMediaType>
            {
                ["application/problem+json"] = new() { Schema = new OpenApiSchemaReference(nameof(ProblemBody), document) },
            },
        };
        if (problems.Key is StatusCodes.Status401Unauthorized or StatusCodes.Status429TooManyRequests or StatusCodes.Status503ServiceUnavailable)
        {
            var header = problems.Key is StatusCodes.Status401Unauthorized ? "WWW-Authenticate" : "Retry-After";
            response.Headers = new Dictionary<string, IOpenApiHeader>
            {
                [header] = new OpenApiHeader { Schema = new OpenApiSchema { Type = JsonSchemaType.String } },
            };
        }

        return response;
    }

    private sealed record Refusals(IReadOnlyList<Problem> Problems);
}

/// <summary>The headers and query members that calls read, in addition to the key.</summary>
internal sealed record ApiParameters(IReadOnlyList<OpenApiParameter> All)
{
    public static readonly OpenApiParameter IdempotencyKey = Header(
        "Idempotency-Key",
        "The client's name for this attempt. The same key with the same user and members is answered like the first time, with other content 409. Scoped to the operationId.",
        new() { Type = JsonSchemaType.String, MinLength = 1, MaxLength = OperationLimits.IdempotencyKey, Pattern = "^[!-~]+$" });

    public static readonly OpenApiParameter Prefer = Header(
        "Prefer",
        $"wait=N (RFC 7240): the answer may take up to N seconds, 1 to {Conditions.LongestWait}, until there is something new to say. The answer then has Preference-Applied.",
        new() { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter IfNoneMatch = Header(
        "If-None-Match",
        "The ETag of the list that the client has: answered 304 while it is the same. The tag is a hash of the content.",
        new() { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter LastEventId = Header(
        "Last-Event-ID",
        "The id of the last event that the client has seen: the stream then begins with the list only when it is another one.",
        new() { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter Limit = Query(
        "limit",
        "The most operations of the page; absent: 20.",
        new() { Type = JsonSchemaType.Integer, Minimum = "1", Maximum = $"{OperationLimits.Page}" });

    public static readonly OpenApiParameter Cursor = Query("cursor", "The cursor of the page before.", new() { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter Status = Query(
        "status",
        "Only operations of this status.",
        new() { Type = JsonSchemaType.String, Enum = ["pending", "approved", "denied", "expired", "cancelled"] });

    private static OpenApiParameter Header(string name, string description, OpenApiSchema schema) =>
        new() { Name = name, In = ParameterLocation.Header, Description = description, Schema = schema };

    private static OpenApiParameter Query(string name, string description, OpenApiSchema schema) =>
        new() { Name = name, In = ParameterLocation.Query, Description = description, Schema = schema };
}
