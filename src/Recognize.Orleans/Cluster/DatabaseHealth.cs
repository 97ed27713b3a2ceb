using System.Diagnostics.Metrics;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Cluster;

/// <summary>
/// What this node last saw of its database, from its checks and its write probe. Requests and health checks read it at
/// no cost to the database.
/// </summary>
internal sealed partial class DatabaseHealth
{
    private readonly ILogger<DatabaseHealth> logger;
    private volatile DatabaseTrouble? trouble;

    public DatabaseHealth(IMeterFactory meters, ILogger<DatabaseHealth> logger)
    {
        this.logger = logger;
        meters.Recognize().CreateObservableGauge("recognize.degraded", () => IsDegraded ? 1 : 0, "1", "1 while the shared database is away or takes no writes, else 0.");
    }

    /// <summary>What is wrong; null: nothing.</summary>
    public DatabaseTrouble? Trouble => trouble;

    /// <summary>Whether the database is away, or accepts no writes, for every node.</summary>
    public bool IsDegraded => Trouble is { IsOfNode: false };

    /// <summary>Logs once what begins and what is over. The reason of an outage may change while it lasts.</summary>
    /// <param name="now">What the last check or write met; null: nothing.</param>
    public void Set(DatabaseTrouble? now)
    {
        var before = trouble;
        trouble = now;
        switch (now)
        {
            case null when before is not null:
                Log.Well(logger);
                break;
            case { IsOfNode: true } when now.Reason != before?.Reason:
                Log.NotReady(logger, now.Reason);
                break;
            case { IsOfNode: false } when before is not { IsOfNode: false }:
                Log.Degraded(logger, now.Reason);
                break;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(67, LogLevel.Warning, "Degraded: {Reason}. What cannot be written is answered 503; this node stays ready, because no other would do better.")]
        public static partial void Degraded(ILogger logger, string reason);

        [LoggerMessage(68, LogLevel.Error, "Not ready: {Reason}.")]
        public static partial void NotReady(ILogger logger, string reason);

        [LoggerMessage(69, LogLevel.Information, "The database answers and takes writes again.")]
        public static partial void Well(ILogger logger);
    }
}

/// <summary>What is wrong with the database, or with this node's access to it.</summary>
/// <param name="Reason">A sentence without its full stop.</param>
/// <param name="IsOfNode">
/// Whether another node may do better, because the cause is the rights, the schema or the file of this one.
/// </param>
internal sealed record DatabaseTrouble(string Reason, bool IsOfNode);
