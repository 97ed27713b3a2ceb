namespace Recognize.Orleans.Cluster;

/// <summary>
/// The time of the service: the database's clock, computed as the machine's monotonic clock plus an offset that is
/// measured regularly. Timers and timestamps are the machine's. Until the clock is started, the time is the machine's
/// too.
/// </summary>
/// <remarks>
/// It never goes backwards, and its speed differs from the monotonic clock by at most a tenth. <see cref="RawNow"/>
/// follows the database's clock without this smoothing.
/// </remarks>
internal sealed class ServiceClock(TimeProvider machine) : TimeProvider
{
    /// <summary>A clock that is further off the database's is reported to the operator.</summary>
    public static readonly TimeSpan Remarkable = TimeSpan.FromSeconds(1);

    /// <summary>With a clock that is further off, this node takes no new traffic and removes nothing.</summary>
    public static readonly TimeSpan Unusable = TimeSpan.FromSeconds(10);

    /// <summary>How long nothing is removed after the clock was unusable.</summary>
    public static readonly TimeSpan SweepsHeld = TimeSpan.FromHours(1);

    /// <summary>
    /// A start that is further ahead of the newest stored time is logged, and nothing is removed for this long.
    /// </summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromDays(1);

    /// <summary>A measurement with a longer round trip is too inaccurate to correct the clock.</summary>
    public static readonly TimeSpan LongestRoundTrip = TimeSpan.FromSeconds(1);

    private const int SlewedPart = 10;

    private readonly Lock gate = new();

    // Timestamps are counted from here, so that elapsed ticks stay small.
    private readonly long origin = machine.GetTimestamp();
    private volatile Reading? reading;

    public ServiceClock()
        : this(System)
    {
    }

    public override long TimestampFrequency => machine.TimestampFrequency;

    public override TimeZoneInfo LocalTimeZone => machine.LocalTimeZone;

    /// <summary>
    /// The latest time that the database's clock is known to have reached. It is never ahead of that clock, and behind
    /// it by at most the time that the answer of the last measurement was in flight. It follows that clock backwards
    /// too.
    /// </summary>
    public DateTimeOffset RawNow => RawAt(machine.GetTimestamp());

    /// <summary>
    /// How far the database's clock was ahead of this one at the last measurement (negative: behind), minus what has
    /// been corrected since.
    /// </summary>
    public TimeSpan Off => reading is { } current ? new(current.Missing(Ticks(machine.GetTimestamp()))) : TimeSpan.Zero;

    /// <summary>Whether the clock is too far off for the service to take new traffic.</summary>
    public bool IsUnusable => Off.Duration() > Unusable;

    /// <summary>Whether rows that are old by this clock may be removed.</summary>
    public bool MaySweep => reading is { } current && !IsUnusable && Ticks(machine.GetTimestamp()) >= current.SweepsFrom;

    /// <summary>
    /// Whether the start was more than <see cref="LongestPause"/> ahead of the newest stored time: after a long pause,
    /// or with a clock that is ahead.
    /// </summary>
    public bool StartedFarAhead { get; private set; }

    /// <summary>
    /// The time, by this clock, before which nothing is removed because of this start or an earlier one; null: there is
    /// no such limit.
    /// </summary>
    public DateTimeOffset? SweepsHeldUntil { get; private set; }

    /// <summary>Whether old rows may be removed by the time of a clock. A clock that a test sets is trusted.</summary>
    public static bool MaySweepBy(TimeProvider clock) => clock is not ServiceClock { MaySweep: false };

    public override DateTimeOffset GetUtcNow()
    {
        // Takes the timestamp first. A reading that is published in between begins later, and at its beginning shows at
        // least what the previous reading showed then.
        var now = Ticks(machine.GetTimestamp());
        return reading is { } current ? new(current.At(now), TimeSpan.Zero) : machine.GetUtcNow();
    }

    public override long GetTimestamp() => machine.GetTimestamp();

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        machine.CreateTimer(callback, state, dueTime, period);

    /// <summary>The latest time that the database's clock is known to have reached at a timestamp.</summary>
    public DateTimeOffset RawAt(long timestamp) =>
        reading is { } current ? new(Ticks(timestamp) + current.RawOffset, TimeSpan.Zero) : machine.GetUtcNow() - machine.GetElapsedTime(timestamp);

    /// <summary>Sets the clock at once, whatever the round trip was.</summary>
    /// <param name="sent">The timestamp at which the database was asked.</param>
    /// <param name="received">The timestamp at which its answer arrived.</param>
    /// <param name="databaseTime">The database's clock at some moment in between.</param>
    /// <param name="newest">
    /// The newest stored time, below which the clock never starts; null: the database is empty.
    /// </param>
    /// <param name="heldUntil">
    /// The time before which an earlier start has ordered that nothing is removed. At most <see cref="LongestPause"/>
    /// of it counts: a longer time came from a wrong clock.
    /// </param>
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

    /// <summary>Moves the clock gradually towards the database's.</summary>
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
                // The true time may be anywhere within the round trip. A clock within that range needs no correction.
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

    /// <summary>
    /// What is known since the last measurement. All values are in ticks, and moments are ticks since the origin.
    /// </summary>
    /// <param name="Begin">When this reading began.</param>
    /// <param name="Shown">The UTC time that the clock showed then.</param>
    /// <param name="Target">What the clock shall add to the ticks since the origin.</param>
    /// <param name="RawOffset">What the database's clock adds to them, at least.</param>
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
