using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Recognize.Orleans.Cluster;

public sealed class ServiceClockTests
{
    private static readonly DateTimeOffset Noon = new(2025, 5, 21, 12, 0, 0, TimeSpan.Zero);
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    // The machine's wall clock is a year off: nothing of it may show once the clock is started.
    private readonly FakeTimeProvider machine = new(Noon.AddYears(1));
    private readonly ServiceClock clock;

    public ServiceClockTests() => clock = new(machine);

    [Fact]
    public void Before_it_is_started_the_time_is_the_machines() => Assert.Equal(machine.GetUtcNow(), clock.GetUtcNow());

    [Fact]
    public void Started_it_shows_the_databases_time_and_goes_on_with_the_monotonic_clock()
    {
        Start(Noon);
        machine.Advance(90 * Second);

        Assert.Equal(Noon + (90 * Second), clock.GetUtcNow());
        Assert.Equal(Noon + (90 * Second), clock.RawNow);
    }

    [Fact]
    public void The_databases_time_is_taken_for_the_middle_of_the_round_trip()
    {
        Measured((sent, received, time) => clock.Start(sent, received, time, newest: null), Noon, 0.2 * Second);

        Assert.Equal(Noon + (0.1 * Second), clock.GetUtcNow());
    }

    [Fact]
    public void It_never_starts_below_the_newest_stored_time()
    {
        Start(Noon, newest: Noon.AddHours(2));

        Assert.Equal(Noon.AddHours(2), clock.GetUtcNow());
        Assert.Equal(Noon, clock.RawNow);
        Assert.Equal(TimeSpan.FromHours(-2), clock.Off);
    }

    [Theory]
    [InlineData(5, 1.1)]
    [InlineData(-5, 0.9)]
    public void It_moves_to_the_databases_time_by_a_tenth_of_the_time_that_passes(int off, double rate)
    {
        Start(Noon);
        Measure(Noon + (off * Second));

        machine.Advance(10 * Second);
        Assert.Equal(Noon + (10 * rate * Second), clock.GetUtcNow());

        machine.Advance(90 * Second);
        Assert.Equal(Noon + ((100 + off) * Second), clock.GetUtcNow());
        Assert.Equal(TimeSpan.Zero, clock.Off);
    }

    [Fact]
    public void A_time_that_may_be_the_databases_is_left_as_it_is()
    {
        Start(Noon);
        machine.Advance(Second);
        Measured(clock.Measure, Noon + Second + (0.1 * Second), 0.2 * Second);

        Assert.Equal(TimeSpan.Zero, clock.Off);
    }

    [Fact]
    public void A_measurement_that_took_long_moves_nothing_but_the_raw_time()
    {
        Start(Noon);
        Measured(clock.Measure, Noon.AddHours(1), 1.5 * Second);

        Assert.Equal(TimeSpan.Zero, clock.Off);
        Assert.Equal(Noon.AddHours(1), clock.RawNow);
    }

    [Fact]
    public void The_raw_time_is_that_of_the_last_measurement_on_its_arrival_and_goes_backwards_with_the_database()
    {
        Start(Noon);
        Measured(clock.Measure, Noon.AddHours(-1), 0.5 * Second);
        var arrived = machine.GetTimestamp();
        machine.Advance(3 * Second);

        Assert.Equal(Noon.AddHours(-1), clock.RawAt(arrived));
        Assert.Equal(Noon.AddHours(-1) + (3 * Second), clock.RawNow);
    }

    [Fact]
    public void Beyond_ten_seconds_it_is_unusable_until_it_has_caught_up()
    {
        Start(Noon);
        Measure(Noon + (11 * Second));
        var before = clock.IsUnusable;
        machine.Advance(10 * Second);

        Assert.Equal((true, false), (before, clock.IsUnusable));
    }

    [Fact]
    public void Nothing_is_swept_until_an_hour_after_it_was_unusable()
    {
        Start(Noon);
        var before = clock.MaySweep;
        Measure(Noon + (11 * Second));
        machine.Advance(ServiceClock.SweepsHeld - TimeSpan.FromTicks(1));
        var during = clock.MaySweep;
        machine.Advance(TimeSpan.FromTicks(1));

        Assert.Equal((true, false, true), (before, during, clock.MaySweep));
    }

    [Fact]
    public void A_start_more_than_a_day_above_the_newest_stored_time_is_remarkable_and_holds_the_sweeps_for_a_day()
    {
        Start(Noon, newest: Noon.AddDays(-1).AddTicks(-1));
        machine.Advance(ServiceClock.LongestPause - TimeSpan.FromTicks(1));
        var during = clock.MaySweep;
        machine.Advance(TimeSpan.FromTicks(1));

        Assert.True(clock.StartedFarAhead);
        Assert.Equal((false, true), (during, clock.MaySweep));
    }

    [Fact]
    public void A_start_goes_on_holding_the_sweeps_that_an_earlier_one_held()
    {
        Start(Noon, newest: Noon, heldUntil: Noon.AddHours(3));
        Assert.Equal((Noon.AddHours(3), false), (clock.SweepsHeldUntil, clock.MaySweep));
        machine.Advance(TimeSpan.FromHours(3));

        Assert.True(clock.MaySweep);
    }

    [Theory]
    [InlineData(500, 1)]
    [InlineData(-1, 0)]
    public void What_a_clock_that_was_far_ahead_has_held_is_held_for_a_day_and_what_is_over_for_no_longer(int daysAway, int daysHeld)
    {
        Start(Noon, newest: Noon, heldUntil: Noon.AddDays(daysAway));

        Assert.Equal(daysHeld == 0 ? null : Noon.AddDays(daysHeld), clock.SweepsHeldUntil);
    }

    [Fact]
    public void A_start_within_a_day_of_the_newest_stored_time_or_in_an_empty_database_is_not()
    {
        Start(Noon, newest: Noon.AddDays(-1));
        Assert.Equal((false, true), (clock.StartedFarAhead, clock.MaySweep));

        Start(Noon, newest: null);
        Assert.Equal((false, true), (clock.StartedFarAhead, clock.MaySweep));
    }

    [Fact]
    public void Timers_and_timestamps_are_the_machines()
    {
        Start(Noon);
        var begun = clock.GetTimestamp();
        var rang = false;
        using var timer = clock.CreateTimer(_ => rang = true, null, 5 * Second, Timeout.InfiniteTimeSpan);
        Measure(Noon.AddHours(1));
        machine.Advance(5 * Second);

        Assert.Equal((5 * Second, true), (clock.GetElapsedTime(begun), rang));
    }

    [Fact]
    public void Whatever_the_database_says_it_never_goes_backwards_and_keeps_its_pace_within_a_tenth() =>
        Gen.Select(Gen.Long[0, 20_000_000], Gen.Long[0, 15_000_000], Gen.Long[-200_000_000, 200_000_000]).Array[1, 100].Sample(looks =>
        {
            var (time, monotonic) = (new FakeTimeProvider(Noon), new FakeTimeProvider(Noon));
            var measured = new ServiceClock(monotonic);
            measured.Start(0, 0, Noon, null);
            return looks.All(look =>
            {
                var (passes, trip, off) = look;
                var before = measured.GetUtcNow();
                var sent = monotonic.GetTimestamp();
                monotonic.Advance(new(trip));
                var received = monotonic.GetTimestamp();
                measured.Measure(sent, received, monotonic.GetUtcNow().AddTicks(off));
                monotonic.Advance(new(passes));

                // Two ticks for what is rounded.
                var shown = (measured.GetUtcNow() - before).Ticks;
                var passed = trip + passes;
                return shown >= (passed * 0.9) - 2 && shown <= (passed * 1.1) + 2;
            });
        });

    [Fact]
    public void However_far_off_it_reaches_the_databases_time_within_ten_times_as_long() =>
        Gen.Select(Gen.Long[-200_000_000, 200_000_000], Gen.Long[0, 10_000_000]).Sample((off, trip) =>
        {
            var monotonic = new FakeTimeProvider(Noon);
            var measured = new ServiceClock(monotonic);
            measured.Start(monotonic.GetTimestamp(), monotonic.GetTimestamp(), Noon, null);
            var sent = monotonic.GetTimestamp();
            monotonic.Advance(new(trip));
            measured.Measure(sent, monotonic.GetTimestamp(), monotonic.GetUtcNow().AddTicks(off));
            monotonic.Advance(new(Math.Abs(off + trip) * 10));

            var left = (measured.GetUtcNow() - monotonic.GetUtcNow()).Ticks - off;
            return left >= -2 && left <= trip + 2;
        });

    private void Start(DateTimeOffset databaseTime, DateTimeOffset? newest = null, DateTimeOffset? heldUntil = null) =>
        clock.Start(machine.GetTimestamp(), machine.GetTimestamp(), databaseTime, newest, heldUntil);

    private void Measure(DateTimeOffset databaseTime) => clock.Measure(machine.GetTimestamp(), machine.GetTimestamp(), databaseTime);

    private void Measured(Action<long, long, DateTimeOffset> measure, DateTimeOffset databaseTime, TimeSpan roundTrip)
    {
        var sent = machine.GetTimestamp();
        machine.Advance(roundTrip);
        measure(sent, machine.GetTimestamp(), databaseTime);
    }
}
