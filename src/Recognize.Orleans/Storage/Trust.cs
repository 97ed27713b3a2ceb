using System.Diagnostics;

namespace Recognize.Orleans.Storage;

/// <summary>
/// How long what a grain remembers of rows may be told. An age counts from when the look at the row was sent, by the machine's
/// monotonic clock: whatever holds up the process makes memory older, never younger.
/// </summary>
internal sealed class Trust(TimeProvider clock)
{
    /// <summary>How long a row that may still change is remembered: another activation may have written it without a word here.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);

    /// <summary>From when it is sent on, how long the database may begin with a statement; the statement carries that time.</summary>
    public static readonly TimeSpan StatementLife = TimeSpan.FromSeconds(5);

    /// <summary>How long after a write without an answer its row may still change: a statement's life, and a margin for clocks and the commit.</summary>
    public static readonly TimeSpan Unsettled = StatementLife + TimeSpan.FromSeconds(5);

    /// <summary>How long after its announcement a write may still change its row: its wait for the database, and then the time of an unknown outcome.</summary>
    public static readonly TimeSpan LongestWrite = TimeSpan.FromSeconds(90);

    // The service looks at the database once a second. A process that was frozen finds its last look too old before it answers.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(3);

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
    public bool Holds(long sent) => clock.GetElapsedTime(sent) < Longest && IsDatabaseHeardOf();

    /// <summary>Whether a write without an answer may still change its row.</summary>
    /// <param name="failed">When its answer was missed, a stamp of the clock.</param>
    public bool IsUnsettled(long? failed) => IsUnsettledAt(failed, Now);

    /// <summary>Whether a write without an answer could still change its row at a time, a stamp of the clock.</summary>
    /// <inheritdoc cref="IsUnsettled"/>
    public bool IsUnsettledAt(long? failed, long time) => failed is { } since && clock.GetElapsedTime(since, time) < Unsettled;

    /// <summary>Whether a write that was announced may still change its row.</summary>
    /// <param name="announced">When it was announced, a stamp of the clock.</param>
    public bool IsOnItsWay(long announced) => clock.GetElapsedTime(announced) < LongestWrite;

    private bool IsDatabaseHeardOf() => Volatile.Read(ref lastAnswer) is var look && (look == 0 || Stopwatch.GetElapsedTime(look) < LongestSilence);
}
