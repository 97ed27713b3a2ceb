using System.Diagnostics;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>
/// How long what a grain remembers of rows may be told. An age counts from when the look at the row was sent, by the machine's
/// monotonic clock: whatever holds up the process makes memory older, never younger.
/// </summary>
internal sealed class Freshness(TimeProvider clock)
{
    private long lastAnswer;

    public long Now => clock.GetTimestamp();

    /// <summary>Tells of a look at the database that was answered.</summary>
    /// <param name="sent">When it was sent, a stamp of <see cref="Stopwatch"/>.</param>
    public void DatabaseAnswered(long sent)
    {
        // Looks may overlap, and be answered out of their order.
        if (sent > Volatile.Read(ref lastAnswer))
        {
            Volatile.Write(ref lastAnswer, sent);
        }
    }

    /// <summary>Whether what a look found may be told without another.</summary>
    /// <param name="sent">When the look was sent, a stamp of the clock.</param>
    public bool IsFresh(long sent) => clock.GetElapsedTime(sent) < Times.CacheLifetime && IsDatabaseHeardOf();

    /// <summary>Whether a write without an answer may still change its row.</summary>
    /// <param name="failed">When its answer was missed, a stamp of the clock.</param>
    public bool IsOutcomeUnknown(long? failed) => WasOutcomeUnknownAt(failed, Now);

    /// <summary>Whether a write without an answer could still change its row at a time, a stamp of the clock.</summary>
    /// <inheritdoc cref="IsOutcomeUnknown"/>
    public bool WasOutcomeUnknownAt(long? failed, long time) => failed is { } since && clock.GetElapsedTime(since, time) < Times.UnknownOutcome;

    /// <summary>Whether a write that was announced may still change its row.</summary>
    /// <param name="announced">When it was announced, a stamp of the clock.</param>
    public bool IsInFlight(long announced) => clock.GetElapsedTime(announced) < Times.LongestWrite;

    private bool IsDatabaseHeardOf() => Volatile.Read(ref lastAnswer) is var look && (look == 0 || Stopwatch.GetElapsedTime(look) < Times.LongestDatabaseSilence);
}
