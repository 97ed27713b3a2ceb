using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;
using Microsoft.OpenApi;
using Recognize.Orleans.Customers;
using Scalar.AspNetCore;

namespace Recognize.Orleans.Api;

/// <summary>The OpenAPI document of <c>/v2</c> and the page that shows it.</summary>
internal static class OpenApi
{
    private const string OperationsKey = nameof(OperationsKey);
    private const string DecisionsKey = nameof(DecisionsKey);
    private const string Tag = "Operations";

    // The page has no options for these: links to its maker, and buttons that offer its maker's services.
    private const string WithoutAdvertisements = """a[href*="scalar.com/"], .generate-sdk-button, .selected-client-action { display: none !important; }""";

    /// <summary>Declares the problems that a route can answer, in addition to those that every route can.</summary>
    public static RouteHandlerBuilder Refuses(this RouteHandlerBuilder route, params Problem[] problems) => route.WithMetadata(new Refusals(problems));

    /// <summary>Declares the headers and query members that a route reads.</summary>
    public static RouteHandlerBuilder Takes(this RouteHandlerBuilder route, params OpenApiParameter[] parameters) => route.WithMetadata(new ApiParameters(parameters));

    /// <summary>Declares the headers of the answers that are no errors.</summary>
    public static RouteHandlerBuilder Tells(this RouteHandlerBuilder route, params string[] headers) => route.WithMetadata(new AnswerHeaders(headers));

    /// <summary>Declares bodies that a client may send, by what they are for. The first one is what the page for people begins with.</summary>
    public static RouteHandlerBuilder ShowsRequests<T>(this RouteHandlerBuilder route, JsonTypeInfo<T> type, params (string Name, T Body)[] examples) =>
        route.WithMetadata(new RequestExamples([.. examples.Select(example => (example.Name, JsonSerializer.SerializeToNode(example.Body, type)!))]));

    /// <summary>Declares bodies of the answer 200, by what they show.</summary>
    public static RouteHandlerBuilder ShowsAnswers<T>(this RouteHandlerBuilder route, JsonTypeInfo<T> type, params (string Name, T Body)[] examples) =>
        route.WithMetadata(new AnswerExamples([.. examples.Select(example => (example.Name, JsonSerializer.SerializeToNode(example.Body, type)!))]));

    /// <summary>Declares an answer 200 that is not JSON.</summary>
    public static RouteHandlerBuilder ShowsText(this RouteHandlerBuilder route, string name, string text) => route.WithMetadata(new AnswerExamples([(name, JsonValue.Create(text))]));

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
                Contact = new() { Name = "The Recognize.Orleans authors" },
                License = new() { Name = "MIT", Identifier = "MIT" },
            };
            document.Servers = [new() { Url = "/", Description = "The service that serves this document." }];
            document.Tags = new HashSet<OpenApiTag> { new() { Name = Tag, Description = "What a backend asks a user, and what the user decides." } };
            document.Components!.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>
            {
                [OperationsKey] = KeyScheme("A customer's key with the scope operations: create, cancel, list and read."),
                [DecisionsKey] = KeyScheme("A customer's key with the scope decisions: list and decide."),
            };
            document.Security = [new() { [new OpenApiSecuritySchemeReference(OperationsKey, document)] = [] }, new() { [new OpenApiSecuritySchemeReference(DecisionsKey, document)] = [] }];
            OpenSet.AddTo(document);
            return Task.CompletedTask;
        });
        options.AddSchemaTransformer((schema, context, _) =>
        {
            // An optional member without a value is absent, and a number is never written as text, even where the
            // reader accepts it.
            schema.Type &= ~JsonSchemaType.Null;
            if (schema.Type?.HasFlag(JsonSchemaType.Integer) is true)
            {
                schema.Type = JsonSchemaType.Integer;
                schema.Pattern = null;
            }

            if (context.JsonPropertyInfo?.AttributeProvider?.GetCustomAttributes(typeof(OpenSetAttribute), inherit: false) is [OpenSetAttribute set])
            {
                schema.Metadata ??= new Dictionary<string, object>();
                schema.Metadata[nameof(OpenSet)] = set.Name;
            }

            if (context.JsonTypeInfo.Type == typeof(ProblemBody) && context.JsonPropertyInfo is null)
            {
                // Generated clients make it the message of what they throw.
                ((OpenApiSchema)schema.Properties!["detail"]).Extensions = new Dictionary<string, IOpenApiExtension> { ["x-ms-primary-error-message"] = new JsonNodeExtension(true) };
            }

            return Task.CompletedTask;
        });
        options.AddOperationTransformer(async (operation, context, cancellation) =>
        {
            var document = context.Document!;
            var metadata = context.Description.ActionDescriptor.EndpointMetadata;
            var scopes = metadata.OfType<Call>().Single().AnyOf;
            operation.Description = $"{operation.Description} Needs the scope {scopes.ToString().ToLowerInvariant().Replace(", ", " or ", StringComparison.Ordinal)}.".TrimStart();
            operation.Security = [.. new[] { (Scopes.Operations, OperationsKey), (Scopes.Decisions, DecisionsKey) }
                .Where(key => scopes.HasFlag(key.Item1))
                .Select(key => new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(key.Item2, document)] = [] })];
            foreach (var parameter in (operation.Parameters ?? []).OfType<OpenApiParameter>())
            {
                Describe(parameter);
            }

            foreach (var header in metadata.OfType<ApiParameters>().SelectMany(headers => headers.All))
            {
                operation.Parameters!.Add(header);
            }

            Show(operation.RequestBody?.Content, metadata.OfType<RequestExamples>().SelectMany(examples => examples.All));
            foreach (var (status, answer) in operation.Responses!)
            {
                var ok = status == "200";
                ((OpenApiResponse)answer).Description = ok ? "Done." : "The client has it already.";
                ((OpenApiResponse)answer).Headers = DocumentedHeaders.Of(document, metadata.OfType<AnswerHeaders>().SelectMany(headers => headers.Names));
                Show(answer.Content, ok ? metadata.OfType<AnswerExamples>().SelectMany(examples => examples.All) : []);
            }

            var problems = metadata.OfType<Refusals>().SelectMany(refusals => refusals.Problems)
                .Concat([Problem.InvalidKey, Problem.ScopeMissing, Problem.NotAcceptable, Problem.TooManyCalls, Problem.Internal, Problem.Unavailable]);
            document.AddComponent(nameof(ProblemBody), await context.GetOrCreateSchemaAsync(typeof(ProblemBody), cancellationToken: cancellation));
            foreach (var status in problems.GroupBy(problem => problem.Status).OrderBy(group => group.Key))
            {
                operation.Responses[$"{status.Key}"] = ApiProblems.Answer(status, document);
            }
        });
    });

    /// <param name="app">The service.</param>
    /// <param name="withDemo">Whether the page begins with the demo customer's keys.</param>
    public static void MapApiDocument(this IEndpointRouteBuilder app, bool withDemo)
    {
        app.MapOpenApi("/openapi/{documentName:regex(^v2$)}.json").AnswersHead();
        app.MapScalarApiReference("/docs", options => options
            .HideDeveloperTools()
            .DisableMcp()
            .WithTitle("Recognize.Orleans Operations API")
            .AddDocument("v2", routePattern: "/openapi/v2.json")
            .WithCustomCss(WithoutAdvertisements)
            .AddApiKeyAuthentication(OperationsKey, scheme => scheme.Value = withDemo ? DemoCustomer.BackendKey : null)
            .AddApiKeyAuthentication(DecisionsKey, scheme => scheme.Value = withDemo ? DemoCustomer.ApproverKey : null)
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
        (parameter.Description, parameter.Example, parameter.Schema) = parameter.Name switch
        {
            "userId" => ("The user: upper-case hexadecimal digits.", ApiExamples.UserId, new OpenApiSchema { Type = JsonSchemaType.String, Pattern = "^[0-9A-F]{1,128}$" }),
            "operationId" => ("The client's id of the operation, percent-encoded.", ApiExamples.OperationId, new OpenApiSchema { Type = JsonSchemaType.String, MinLength = 1, MaxLength = OperationLimits.OperationId }),
            _ => throw new InvalidOperationException($"The parameter {parameter.Name} has no description."),
        };
    }

    private static void Show(IDictionary<string, OpenApiMediaType>? content, IEnumerable<(string Name, JsonNode Body)> examples)
    {
        foreach (var media in (content ?? new Dictionary<string, OpenApiMediaType>()).Values)
        {
            media.Examples = examples.ToDictionary(example => example.Name, IOpenApiExample (example) => new OpenApiExample { Value = example.Body.DeepClone() });
        }
    }

    private static OpenApiSecurityScheme KeyScheme(string description) => new()
    {
        Type = SecuritySchemeType.ApiKey,
        In = ParameterLocation.Header,
        Name = "X-Api-Key",
        Description = description,
    };

    private sealed record Refusals(IReadOnlyList<Problem> Problems);

    private sealed record AnswerHeaders(IReadOnlyList<string> Names);

    private sealed record RequestExamples(IReadOnlyList<(string Name, JsonNode Body)> All);

    private sealed record AnswerExamples(IReadOnlyList<(string Name, JsonNode Body)> All);
}
