using System.Diagnostics;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Cluster;

/// <summary>
/// How long a grain may serve what it has cached of rows, how long the outcome of a write is unknown, and whether the
/// database was heard of. The age counts from when the read of the row was sent, by the
/// machine's monotonic clock. So a delay of the process makes cached data older, never younger.
/// </summary>
internal sealed class Freshness(TimeProvider clock)
{
    private long lastAnswer;

    public long Now => clock.GetTimestamp();

    /// <summary>Records that the database has answered a check.</summary>
    /// <param name="sent">When the check was sent, as a timestamp of <see cref="Stopwatch"/>.</param>
    public void DatabaseAnswered(long sent)
    {
        // Checks may overlap and be answered out of order.
        if (sent > Volatile.Read(ref lastAnswer))
        {
            Volatile.Write(ref lastAnswer, sent);
        }
    }

    /// <summary>Whether what a read found may be served without another read.</summary>
    /// <param name="sent">When the read was sent, as a timestamp of the clock.</param>
    public bool IsFresh(long sent) => clock.GetElapsedTime(sent) < Times.CacheLifetime && IsDatabaseHeardOf();

    /// <summary>Whether a write without an answer may still change its row.</summary>
    /// <param name="failed">
    /// When its answer failed to come, as a timestamp of the clock; null: there is no such write.
    /// </param>
    public bool IsOutcomeUnknown(long? failed) => WasOutcomeUnknownAt(failed, Now);

    /// <summary>
    /// Whether a write without an answer could still change its row at a time, which is a timestamp of the clock.
    /// </summary>
    /// <inheritdoc cref="IsOutcomeUnknown"/>
    public bool WasOutcomeUnknownAt(long? failed, long time) => failed is { } since && clock.GetElapsedTime(since, time) < Times.UnknownOutcome;

    /// <summary>Whether a write that was announced may still change its row.</summary>
    /// <param name="announced">When it was announced, as a timestamp of the clock.</param>
    public bool IsInFlight(long announced) => clock.GetElapsedTime(announced) < Times.LongestWrite;

    private bool IsDatabaseHeardOf() => Volatile.Read(ref lastAnswer) is var look && (look == 0 || Stopwatch.GetElapsedTime(look) < Times.LongestDatabaseSilence);
}
