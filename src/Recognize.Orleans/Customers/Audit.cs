using System.Text.Json;
using System.Text.Json.Serialization;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.State;

namespace Recognize.Orleans.Customers;

/// <summary>
/// The audit log: one JSON object for each create, decision and cancel, and for each change of a key. It says who did
/// what to which operation, and what came of it; it never holds a payload or a key. Off unless <c>Recognize:Audit</c>
/// is true. An entry is written after the outcome is known and before the caller hears of it.
/// </summary>
internal sealed partial class Audit(Settings settings, TimeProvider clock, ILoggerFactory loggers)
{
    public const string Category = "Recognize.Audit";

    // Enough to find the key in the configuration, useless to guess it.
    private const int ShownOfHash = 8;

    private readonly ILogger? logger = settings.Audit ? loggers.CreateLogger(Category) : null;

    /// <summary>Makes a call and records its outcome; <c>unknown</c> when it has none, because then it may have taken effect.</summary>
    public async Task<OperationOutcome> RecordAsync(ApiKey key, string action, string? userId, string operationId, Func<Task<OperationOutcome>> call)
    {
        if (logger is null)
        {
            return await call();
        }

        var entry = new AuditEntry
        {
            Action = action,
            Customer = key.Customer.Name,
            Key = key.Sha256[..ShownOfHash],
            Scopes = TextOf(key.Scopes),
            UserId = userId,
            OperationId = operationId,
        };
        OperationOutcome outcome;
        try
        {
            outcome = await call();
        }
        catch
        {
            Write(entry with { Outcome = "unknown" });
            throw;
        }

        Write(entry with { Outcome = Metrics.NameOf(outcome) });
        return outcome;
    }

    /// <summary>Records how a changed configuration changed the keys.</summary>
    public void RecordChange(IReadOnlyDictionary<string, ApiKey> before, IReadOnlyDictionary<string, ApiKey> after)
    {
        foreach (var key in before.Values.Where(key => !after.ContainsKey(key.Sha256)))
        {
            Record("remove-key", key);
        }

        foreach (var key in after.Values.Where(key => before.GetValueOrDefault(key.Sha256) != key))
        {
            Record(before.ContainsKey(key.Sha256) ? "change-key" : "add-key", key);
        }

        void Record(string action, ApiKey key) =>
            Write(new() { Action = action, Customer = key.Customer.Name, Key = key.Sha256[..ShownOfHash], Scopes = TextOf(key.Scopes), Outcome = "done" });
    }

    private static string TextOf(Scopes scopes) => scopes.ToString().ToLowerInvariant();

    private void Write(AuditEntry entry)
    {
        if (logger is not null)
        {
            Log.Entry(logger, JsonSerializer.Serialize(entry with { Time = UtcText(clock.GetUtcNow()) }, AuditJson.Default.AuditEntry));
        }
    }

    private static string UtcText(DateTimeOffset time) => UtcMilliseconds.Text(time);

    private static partial class Log
    {
        [LoggerMessage(90, LogLevel.Information, "{Entry}")]
        public static partial void Entry(ILogger logger, string entry);
    }
}

/// <summary>One line of the audit log.</summary>
internal sealed record AuditEntry
{
    /// <summary>When the outcome was known, by the service's clock, UTC.</summary>
    public string? Time { get; init; }

    /// <summary><c>create</c>, <c>approve</c>, <c>deny</c>, <c>cancel</c>, <c>add-key</c>, <c>change-key</c> or <c>remove-key</c>.</summary>
    public required string Action { get; init; }

    public required string Customer { get; init; }

    /// <summary>The first digits of the key's SHA-256.</summary>
    public required string Key { get; init; }

    /// <summary>What the key may do.</summary>
    public required string Scopes { get; init; }

    public string? UserId { get; init; }

    public string? OperationId { get; init; }

    /// <summary>An outcome as in the metrics, or <c>unknown</c>.</summary>
    public string? Outcome { get; init; }
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(AuditEntry))]
internal sealed partial class AuditJson : JsonSerializerContext;
