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
    private readonly Lock gate = new();
    private DatabaseTrouble? look;
    private DatabaseTrouble? write;

    public DatabaseHealth(IMeterFactory meters, ILogger<DatabaseHealth> logger)
    {
        this.logger = logger;
        meters.Recognize().CreateObservableGauge("recognize.degraded", () => IsDegraded ? 1 : 0, "1", "1 while the shared database is away or takes no writes, else 0.");
    }

    /// <summary>What is wrong; null: nothing.</summary>
    public DatabaseTrouble? Trouble => (Volatile.Read(ref look), Volatile.Read(ref write)) switch
    {
        // This node's own trouble comes first: the database being away as well does not make it better.
        (_, { IsOfNode: true } own) => own,
        var (seen, written) => seen ?? written,
    };

    /// <summary>Whether the database is away, or accepts no writes, for every node.</summary>
    public bool IsDegraded => Trouble is { IsOfNode: false };

    /// <param name="trouble">What a check of the database met, or null.</param>
    public void Looked(DatabaseTrouble? trouble) => Set(ref look, trouble);

    /// <param name="trouble">What a write to the database met, or null.</param>
    public void Wrote(DatabaseTrouble? trouble) => Set(ref write, trouble);

    // Logged once when it begins and once when it is over, not with every check.
    private void Set(ref DatabaseTrouble? field, DatabaseTrouble? trouble)
    {
        lock (gate)
        {
            var before = Trouble;
            field = trouble;
            switch (Trouble)
            {
                case null when before is not null:
                    Log.Well(logger);
                    break;
                case { IsOfNode: true } now when now.Reason != before?.Reason:
                    Log.NotReady(logger, now.Reason);
                    break;
                case { IsOfNode: false } now when now.Reason != before?.Reason:
                    Log.Degraded(logger, now.Reason);
                    break;
            }
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
