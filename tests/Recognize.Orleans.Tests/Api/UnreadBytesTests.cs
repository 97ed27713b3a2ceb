using Microsoft.Extensions.Time.Testing;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Api;

public sealed class UnreadBytesTests : IDisposable
{
    private readonly FakeTimeProvider clock = new();
    private readonly UnreadBytes unread;

    public UnreadBytesTests() => unread = new(clock);

    public void Dispose() => unread.Dispose();

    [Fact]
    public async Task What_a_customer_has_not_read_is_bounded_and_an_answer_that_was_read_makes_room()
    {
        var first = await unread.ReserveAsync("acme", UnreadBytes.MostOfCustomer - 1_024);
        var small = await unread.ReserveAsync("acme", 1_024);
        var next = unread.ReserveAsync("acme", 1_024);

        Assert.False(next.IsCompleted);
        (await unread.ReserveAsync("globex", UnreadBytes.MostOfCustomer).WaitAsync(ClusterFixture.Patience)).Dispose();

        first.Dispose();
        (await next.WaitAsync(ClusterFixture.Patience)).Dispose();
        small.Dispose();
    }

    [Fact]
    public async Task An_answer_that_is_larger_than_all_of_the_room_takes_all_of_it()
    {
        var huge = await unread.ReserveAsync("acme", 10L * UnreadBytes.MostOfCustomer);
        var next = unread.ReserveAsync("acme", 1_024);
        Assert.False(next.IsCompleted);

        huge.Dispose();
        (await next.WaitAsync(ClusterFixture.Patience)).Dispose();
    }

    [Fact]
    public async Task Four_customers_may_fill_the_process_and_a_fifth_waits_for_one_of_them()
    {
        var four = await Task.WhenAll(Enumerable.Range(0, 4).Select(number => unread.ReserveAsync($"customer-{number}", UnreadBytes.MostOfCustomer)));
        var fifth = unread.ReserveAsync("customer-4", 1_024);
        Assert.False(fifth.IsCompleted);

        four[0].Dispose();
        (await fifth.WaitAsync(ClusterFixture.Patience)).Dispose();
    }

    [Fact]
    public async Task Whoever_waits_too_long_is_refused_and_leaves_nothing_behind()
    {
        var first = await unread.ReserveAsync("acme", UnreadBytes.MostOfCustomer);
        var refused = unread.ReserveAsync("acme", 1_024);

        clock.Advance(UnreadBytes.LongestWait);

        await Assert.ThrowsAsync<CustomerBusyException>(() => refused.WaitAsync(ClusterFixture.Patience));
        first.Dispose();
        (await unread.ReserveAsync("acme", UnreadBytes.MostOfCustomer).WaitAsync(ClusterFixture.Patience)).Dispose();
    }
}
