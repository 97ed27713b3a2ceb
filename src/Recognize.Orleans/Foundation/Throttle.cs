namespace Recognize.Orleans.Foundation;

/// <summary>Says when it is time to do again what is done at most once in a while, such as a line about an outage.</summary>
internal sealed class Throttle(TimeProvider clock, TimeSpan interval)
{
    private long last;

    /// <summary>Whether it is time now. Of several callers at once only one is told so.</summary>
    public bool IsDue()
    {
        var (before, now) = (Volatile.Read(ref last), clock.GetTimestamp());
        return (before == 0 || clock.GetElapsedTime(before, now) >= interval) && Interlocked.CompareExchange(ref last, now, before) == before;
    }
}
