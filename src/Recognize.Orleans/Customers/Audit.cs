using System.Text.Json.Nodes;
using Recognize.Orleans.State;

namespace Recognize.Orleans.Customers;

/// <summary>
/// The audit log: one JSON object for each call that changes something, and for each change of a key. It says who did
/// what to what, and what came of it; it never holds a payload or a key. Off unless <c>Recognize:Audit</c>
/// is true. An entry is written after the outcome is known and before the caller hears of it.
/// </summary>
internal sealed partial class Audit(CustomerSettings settings, TimeProvider clock, ILoggerFactory loggers)
{
    public const string Category = "Recognize.Audit";

    // Enough to find the key in the configuration, useless to guess it.
    private const int ShownOfHash = 8;

    private readonly ILogger? logger = settings.Audit ? loggers.CreateLogger(Category) : null;

    /// <summary>Makes a call and records its outcome; <c>unknown</c> when it has none, because then it may have taken effect.</summary>
    /// <param name="key">The key that the call came with.</param>
    /// <param name="action">What is done.</param>
    /// <param name="subject">To what: members of the entry; those without a value are left out.</param>
    /// <param name="call">The call.</param>
    /// <param name="nameOf">The name of an outcome.</param>
    public Task<T> RecordAsync<T>(ApiKey key, string action, (string Member, string? Value)[] subject, Func<Task<T>> call, Func<T, string> nameOf) =>
        logger is null ? call() : CallAsync(key, action, subject, call, nameOf);

    private async Task<T> CallAsync<T>(ApiKey key, string action, (string Member, string? Value)[] subject, Func<Task<T>> call, Func<T, string> nameOf)
    {
        T outcome;
        try
        {
            outcome = await call();
        }
        catch
        {
            Write(key, action, subject, "unknown");
            throw;
        }

        Write(key, action, subject, nameOf(outcome));
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

        void Record(string action, ApiKey key) => Write(key, action, [], "done");
    }

    private void Write(ApiKey key, string action, (string Member, string? Value)[] subject, string outcome)
    {
        if (logger is null)
        {
            return;
        }

        var entry = new JsonObject
        {
            ["time"] = UtcMilliseconds.Text(clock.GetUtcNow()),
            ["action"] = action,
            ["customer"] = key.Customer.Name,
            ["key"] = key.Sha256[..ShownOfHash],
            ["scopes"] = key.ScopeNames,
        };
        foreach (var (member, value) in subject.Where(one => one.Value is not null))
        {
            entry[member] = value;
        }

        entry["outcome"] = outcome;
        Log.Entry(logger, entry.ToJsonString());
    }

    private static partial class Log
    {
        [LoggerMessage(90, LogLevel.Information, "{Entry}")]
        public static partial void Entry(ILogger logger, string entry);
    }
}
