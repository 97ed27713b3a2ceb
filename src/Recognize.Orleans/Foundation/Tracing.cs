using System.Diagnostics;

namespace Recognize.Orleans.Foundation;

/// <summary>
/// The activity source <c>Recognize</c>: what is asked of the database, on every engine. Several callers share one
/// statement. So each has a span in its own trace, from its question to its answer, and the statement has a span of its
/// own, linked with all of theirs. Tags are those of OpenTelemetry's conventions for databases, and never ids.
/// </summary>
internal static class Tracing
{
    public const string SourceName = "Recognize";

    private static readonly ActivitySource Source = new(SourceName);

    /// <summary>The span of one caller of a shared statement; null when its trace is not recorded.</summary>
    public static Activity? StartShare(string name) =>
        Source.HasListeners() && Activity.Current is { Recorded: true } ? Source.StartActivity(name) : null;

    /// <summary>
    /// The span of a statement, linked with those of its callers in both directions; null when none is recorded.
    /// </summary>
    public static Activity? StartStatement(string name, StorageEngine engine, IEnumerable<Activity?> callers, int count)
    {
        if (!Source.HasListeners() || callers.OfType<Activity>().ToList() is not { Count: > 0 } recorded)
        {
            return null;
        }

        var statement = Source.StartActivity(
            name,
            ActivityKind.Client,
            default(ActivityContext),
            [new("db.system.name", NameOf(engine)), new("db.operation.name", name), new("db.operation.batch.size", count)],
            recorded.Select(caller => new ActivityLink(caller.Context)));
        if (statement is not null)
        {
            recorded.ForEach(caller => caller.AddLink(new(statement.Context)));
        }

        return statement;
    }

    /// <summary>The span of a statement of one caller; null when its trace is not recorded.</summary>
    public static Activity? StartStatement(string name, StorageEngine engine) =>
        Source.HasListeners() && Activity.Current is { Recorded: true }
            ? Source.StartActivity(name, ActivityKind.Client, default(ActivityContext), [new("db.system.name", NameOf(engine)), new("db.operation.name", name)])
            : null;

    /// <summary>Marks a span as failed. The exception's text stays out: it may name a row.</summary>
    public static void Fail(this Activity? span, Exception fault) =>
        span?.SetStatus(ActivityStatusCode.Error).SetTag("error.type", fault.GetType().FullName);

    private static string NameOf(StorageEngine engine) => engine switch
    {
        StorageEngine.SqlServer => "microsoft.sql_server",
        StorageEngine.PostgreSql => "postgresql",
        StorageEngine.Sqlite => "sqlite",
        _ => throw new InvalidOperationException($"{engine} has no name."),
    };
}
