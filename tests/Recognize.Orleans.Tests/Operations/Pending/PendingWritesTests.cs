using Microsoft.Extensions.Time.Testing;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations.Pending;

public sealed class PendingWritesTests
{
    private readonly FakeTimeProvider clock = new();
    private readonly PendingWrites writes;

    public PendingWritesTests() => writes = new(new Freshness(clock));

    [Fact]
    public void An_end_is_in_flight_until_it_is_told_or_its_write_must_be_over()
    {
        writes.Ending("a");
        writes.Ending("b");
        writes.Ended("a");
        Assert.True(writes.Any);

        clock.Advance(Times.LongestWrite - TimeSpan.FromTicks(1));
        Assert.True(writes.Any);
        clock.Advance(TimeSpan.FromTicks(1));
        Assert.False(writes.Any);
    }

    [Fact]
    public void A_create_without_an_answer_may_arrive_for_as_long_as_its_outcome_is_unknown()
    {
        var before = clock.GetTimestamp();
        writes.LoseOutcome();
        Assert.True(writes.Any);
        Assert.True(writes.WasOutcomeUnknownAt(before));

        clock.Advance(Times.UnknownOutcome);
        Assert.False(writes.Any);
        Assert.False(writes.WasOutcomeUnknownAt(clock.GetTimestamp()));
    }
}
