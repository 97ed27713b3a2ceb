using System.Text.Json.Nodes;
using Microsoft.OpenApi;

namespace Recognize.Orleans.Api;

/// <summary>
/// A named set of texts in the OpenAPI document. It is open: a later version may add one, which must not break a client that was
/// generated before. So it is never an <c>enum</c>.
/// </summary>
internal sealed record OpenSet(string Name, string Description, IReadOnlyList<string> Values)
{
    public const string AuthType = nameof(AuthType);
    public const string Decision = nameof(Decision);
    public const string OperationState = nameof(OperationState);
    public const string OperationStatus = nameof(OperationStatus);
    public const string ProblemType = nameof(ProblemType);

    public static readonly IReadOnlyList<OpenSet> All =
    [
        new(AuthType, "A type of authentication: biometric, or a PIN.", ["biom", "pin"]),
        new(Decision, "What the user said.", ["approve", "deny"]),
        new(OperationState, "What the vendor's API says of an operation.", ["approved", "pending"]),
        new(OperationStatus, "Where an operation is. All but pending are final.", ["pending", "approved", "denied", "expired", "cancelled"]),
        new(ProblemType, "What went wrong, as a stable identifier. Treat one that you do not know like another one of its status.", [.. Problem.All.Select(problem => problem.Type).Order(StringComparer.Ordinal)]),
    ];

    /// <summary>Adds the sets to the document, and makes every member that holds one a reference to it.</summary>
    public static void AddTo(OpenApiDocument document)
    {
        // A transformer of schemas must not turn one into a reference, so it only leaves the name there.
        var members = from type in document.Components!.Schemas!.Values
                      from member in type.Properties ?? new Dictionary<string, IOpenApiSchema>()
                      where member.Value is OpenApiSchema { Metadata: { } notes } && notes.ContainsKey(nameof(OpenSet))
                      select (type.Properties, member.Key, Schema: (OpenApiSchema)member.Value);
        foreach (var (properties, name, schema) in members.ToList())
        {
            properties[name] = new OpenApiSchemaReference((string)schema.Metadata![nameof(OpenSet)], document) { Description = schema.Description };
        }

        foreach (var set in All)
        {
            document.Components.Schemas[set.Name] = set.Schema;
        }
    }

    private OpenApiSchema Schema => new()
    {
        Type = JsonSchemaType.String,
        Description = $"{Description} An open set: more values may come.",
        Examples = [.. Values.Select(value => JsonValue.Create(value))],
        Extensions = new Dictionary<string, IOpenApiExtension>
        {
            ["x-extensible-enum"] = new JsonNodeExtension(new JsonArray([.. Values.Select(value => JsonValue.Create(value))])),
        },
    };
}

/// <summary>The member holds one of an <see cref="OpenSet"/>.</summary>
/// <param name="name">The set's name.</param>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class OpenSetAttribute(string name) : Attribute
{
    public string Name => name;
}
