using Microsoft.OpenApi;

namespace Recognize.Orleans.Api;

/// <summary>The headers and query members that calls read, in addition to the key.</summary>
internal sealed record ApiParameters(IReadOnlyList<OpenApiParameter> All)
{
    public static readonly OpenApiParameter IdempotencyKey = Header(
        "Idempotency-Key",
        "The client's name for this attempt. The same key with the same user and members is answered like the first time, with other content 409. Scoped to the operationId.",
        new OpenApiSchema { Type = JsonSchemaType.String, MinLength = 1, MaxLength = OperationLimits.IdempotencyKey, Pattern = "^[!-~]+$" });

    public static readonly OpenApiParameter Prefer = Header(
        "Prefer",
        $"wait=N (RFC 7240): the answer may take up to N seconds, 1 to {Conditions.LongestWait}, until there is something new to say. The answer then has Preference-Applied.",
        new OpenApiSchema { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter IfNoneMatch = Header(
        "If-None-Match",
        "The ETag of the list that the client has: answered 304 while it is the same. The tag is a hash of the content.",
        new OpenApiSchema { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter LastEventId = Header(
        "Last-Event-ID",
        "The id of the last event that the client has seen: the stream then begins with the list only when it is another one.",
        new OpenApiSchema { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter Limit = Query(
        "limit",
        "The most operations of the page; absent: 20.",
        new OpenApiSchema { Type = JsonSchemaType.Integer, Minimum = "1", Maximum = $"{OperationLimits.Page}" });

    public static readonly OpenApiParameter Cursor = Query("cursor", "The cursor of the page before.", new OpenApiSchema { Type = JsonSchemaType.String });

    public static readonly OpenApiParameter Status = Query(
        "status",
        "Only operations of this status.",
        new OpenApiSchemaReference(OpenSet.OperationStatus));

    private static OpenApiParameter Header(string name, string description, IOpenApiSchema schema) =>
        new() { Name = name, In = ParameterLocation.Header, Description = description, Schema = schema };

    private static OpenApiParameter Query(string name, string description, IOpenApiSchema schema) =>
        new() { Name = name, In = ParameterLocation.Query, Description = description, Schema = schema };
}
