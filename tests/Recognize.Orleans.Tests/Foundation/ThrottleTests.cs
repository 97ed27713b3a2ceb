using Microsoft.Extensions.Time.Testing;
using Xunit;

namespace Recognize.Orleans.Foundation;

public sealed class ThrottleTests
{
    private readonly FakeTimeProvider clock = new();

    [Fact]
    public void What_fails_again_and_again_is_told_at_once_and_then_when_the_time_is_over()
    {
        var throttle = new Throttle(clock, TimeSpan.FromSeconds(10));

        Assert.True(throttle.IsDue());
        clock.Advance(TimeSpan.FromSeconds(9.9));
        Assert.False(throttle.IsDue());
        clock.Advance(TimeSpan.FromSeconds(0.1));
        Assert.True(throttle.IsDue());
        Assert.False(throttle.IsDue());
    }

    [Fact]
    public void Of_many_at_once_one_tells()
    {
        var throttle = new Throttle(clock, TimeSpan.FromSeconds(10));

        Assert.Equal(1, Enumerable.Range(0, 1000).AsParallel().Count(_ => throttle.IsDue()));
    }
}
