namespace Recognize.Orleans.Storage;

/// <summary>
/// The time of the service: the database's clock, as the machine's monotonic clock plus an offset that is measured again
/// and again. Timers and timestamps stay the machine's. Until it is started, the time is the machine's too.
/// </summary>
/// <remarks>
/// It never goes backwards, and never faster or slower than the monotonic clock by more than a tenth. What the database's
/// clock is right now, without that care, is <see cref="RawNow"/>.
/// </remarks>
internal sealed class ServiceClock(TimeProvider machine) : TimeProvider
{
    /// <summary>A clock that is off the database's by more than this is told to the operator.</summary>
    public static readonly TimeSpan Remarkable = TimeSpan.FromSeconds(1);

    /// <summary>A clock that is off by more than this serves no new traffic and removes nothing.</summary>
    public static readonly TimeSpan Unusable = TimeSpan.FromSeconds(10);

    /// <summary>How long nothing is removed after the clock was unusable.</summary>
    public static readonly TimeSpan SweepsHeld = TimeSpan.FromHours(1);

    /// <summary>A start further above the newest stored time is logged, and nothing is removed for as long.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromDays(1);

    /// <summary>A measurement that took longer says too little of the time between.</summary>
    public static readonly TimeSpan LongestRoundTrip = TimeSpan.FromSeconds(1);

    private const int SlewedPart = 10;

    private readonly Lock gate = new();

    // Timestamps are counted from here: elapsed ticks stay small.
    private readonly long origin = machine.GetTimestamp();
    private volatile Reading? reading;

    public ServiceClock()
        : this(System)
    {
    }

    public override long TimestampFrequency => machine.TimestampFrequency;

    public override TimeZoneInfo LocalTimeZone => machine.LocalTimeZone;

    /// <summary>
    /// The latest time that the database's clock is known to have reached: never ahead of it, and behind by no more than the
    /// last measurement took on its way back. It goes with the database's clock, backwards too.
    /// </summary>
    public DateTimeOffset RawNow => RawAt(machine.GetTimestamp());

    /// <summary>How far the database's clock was ahead of this one (or behind, if negative) at the last measurement, less what was made up since.</summary>
    public TimeSpan Off => reading is { } current ? new(current.Missing(Ticks(machine.GetTimestamp()))) : TimeSpan.Zero;

    /// <summary>Whether the clock is too far off for the service to take new traffic.</summary>
    public bool IsUnusable => Off.Duration() > Unusable;

    /// <summary>Whether what is old by this clock may be removed.</summary>
    public bool MaySweep => reading is { } current && !IsUnusable && Ticks(machine.GetTimestamp()) >= current.SweepsFrom;

    /// <summary>Whether the start was more than <see cref="LongestPause"/> above the newest stored time: a long pause, or a clock that is ahead.</summary>
    public bool StartedFarAhead { get; private set; }

    /// <summary>Until when nothing is removed because of this start or one before it, by this clock; null: nothing holds removals.</summary>
    public DateTimeOffset? SweepsHeldUntil { get; private set; }

    /// <summary>Whether what is old may be removed by a clock; one that a test sets is trusted.</summary>
    public static bool MaySweepBy(TimeProvider clock) => clock is not ServiceClock { MaySweep: false };

    public override DateTimeOffset GetUtcNow()
    {
        // The timestamp first: a reading that is published in between begins later and shows at least what the one before did then.
        var now = Ticks(machine.GetTimestamp());
        return reading is { } current ? new(current.At(now), TimeSpan.Zero) : machine.GetUtcNow();
    }

    public override long GetTimestamp() => machine.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        machine.CreateTimer(callback, state, dueTime, period);

    /// <summary>The latest time that the database's clock is known to have reached at a timestamp.</summary>
    public DateTimeOffset RawAt(long timestamp) =>
        reading is { } current ? new(Ticks(timestamp) + current.RawOffset, TimeSpan.Zero) : machine.GetUtcNow() - machine.GetElapsedTime(timestamp);

    /// <summary>Sets the clock, at once and whatever the round trip was.</summary>
    /// <param name="sent">The timestamp at which the database was asked.</param>
    /// <param name="received">The timestamp at which its answer was there.</param>
    /// <param name="databaseTime">The database's clock in between.</param>
    /// <param name="newest">The newest time that is stored, below which the clock never starts; null in an empty database.</param>
    /// <param name="heldUntil">Until when an earlier start has held removals; further away than <see cref="LongestPause"/> it was a wrong clock's word.</param>
    public void Start(long sent, long received, DateTimeOffset databaseTime, DateTimeOffset? newest, DateTimeOffset? heldUntil = null)
    {
        lock (gate)
        {
            var (begin, middle) = (Ticks(received), Middle(sent, received));
            var target = databaseTime.UtcTicks - middle;
            var shown = Math.Max(target + begin, newest?.UtcTicks ?? 0);
            StartedFarAhead = databaseTime - newest > LongestPause;
            var held = StartedFarAhead ? LongestPause.Ticks : Math.Clamp((heldUntil?.UtcTicks ?? 0) - shown, 0, LongestPause.Ticks);
            SweepsHeldUntil = held > 0 ? new(shown + held, TimeSpan.Zero) : null;
            var start = new Reading(begin, shown, target, databaseTime.UtcTicks - begin, begin + held);
            reading = start with { SweepsFrom = SweepsFrom(start, begin) };
        }
    }

    /// <summary>Moves the clock towards the database's.</summary>
    /// <inheritdoc cref="Start" path="/param"/>
    public void Measure(long sent, long received, DateTimeOffset databaseTime)
    {
        lock (gate)
        {
            if (reading is not { } current)
            {
                return;
            }

            var now = Ticks(machine.GetTimestamp());
            var next = current with { Begin = now, Shown = current.At(now), RawOffset = databaseTime.UtcTicks - Ticks(received) };
            var roundTrip = Ticks(received) - Ticks(sent);
            if (roundTrip <= LongestRoundTrip.Ticks)
            {
                // Anything within the round trip may be the truth. A clock that is within has nothing to correct.
                var target = databaseTime.UtcTicks - Middle(sent, received);
                var shown = next.Shown - now;
                next = next with { Target = Math.Abs(target - shown) <= roundTrip / 2 ? shown : target };
            }

            reading = next with { SweepsFrom = SweepsFrom(next, now) };
        }
    }

    private static long SweepsFrom(Reading reading, long now) => Math.Abs(reading.Missing(now)) > Unusable.Ticks
        ? Math.Max(reading.SweepsFrom, now + SweepsHeld.Ticks)
        : reading.SweepsFrom;

    private long Middle(long sent, long received) => Ticks(sent) + ((Ticks(received) - Ticks(sent)) / 2);

    private long Ticks(long timestamp) => machine.GetElapsedTime(origin, timestamp).Ticks;

    /// <summary>What is known since the last measurement; all in ticks, and moments as ticks since the origin.</summary>
    /// <param name="Begin">When it began to count.</param>
    /// <param name="Shown">The UTC time that the clock showed then.</param>
    /// <param name="Target">What the clock is to have on top of the ticks since the origin.</param>
    /// <param name="RawOffset">What the database's clock has at least on top of them.</param>
    /// <param name="SweepsFrom">Before this moment nothing is removed.</param>
    private sealed record Reading(long Begin, long Shown, long Target, long RawOffset, long SweepsFrom)
    {
        public long At(long now)
        {
            var elapsed = Math.Max(now - Begin, 0);
            var missing = Target + Begin - Shown;
            return Shown + elapsed + Math.Clamp(missing, -elapsed / SlewedPart, elapsed / SlewedPart);
        }

        public long Missing(long now) => Target + Math.Max(now, Begin) - At(now);
    }
}
