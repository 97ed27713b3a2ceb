using Microsoft.Extensions.Time.Testing;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Customers;

public sealed class CustomerQuotasTests : IDisposable
{
    private readonly FakeTimeProvider clock = new();
    private readonly CustomerQuotas quotas;

    public CustomerQuotasTests() => quotas = new(clock);

    public void Dispose() => quotas.Dispose();

    [Fact]
    public async Task One_large_list_of_a_customer_is_read_at_a_time_and_another_customer_is_not_held_up()
    {
        var first = await quotas.TakeReadTurnAsync("acme");
        var second = quotas.TakeReadTurnAsync("acme");

        (await quotas.TakeReadTurnAsync("globex").WaitAsync(ClusterFixture.Patience)).Dispose();
        (await quotas.TakeRenderTurnAsync("acme").WaitAsync(ClusterFixture.Patience)).Dispose();
        Assert.False(second.IsCompleted);

        first.Dispose();
        (await second.WaitAsync(ClusterFixture.Patience)).Dispose();
    }

    [Fact]
    public async Task What_a_customer_has_not_read_is_bounded_and_an_answer_that_was_read_makes_room()
    {
        var first = await quotas.ReserveUnreadAsync("acme", CustomerQuotas.MostOfCustomer - 1_024);
        var small = await quotas.ReserveUnreadAsync("acme", 1_024);
        var next = quotas.ReserveUnreadAsync("acme", 1_024);

        Assert.False(next.IsCompleted);
        (await quotas.ReserveUnreadAsync("globex", CustomerQuotas.MostOfCustomer).WaitAsync(ClusterFixture.Patience)).Dispose();

        first.Dispose();
        (await next.WaitAsync(ClusterFixture.Patience)).Dispose();
        small.Dispose();
    }

    [Fact]
    public async Task An_answer_that_is_larger_than_all_of_the_room_takes_all_of_it()
    {
        var huge = await quotas.ReserveUnreadAsync("acme", 10L * CustomerQuotas.MostOfCustomer);
        var next = quotas.ReserveUnreadAsync("acme", 1_024);
        Assert.False(next.IsCompleted);

        huge.Dispose();
        (await next.WaitAsync(ClusterFixture.Patience)).Dispose();
    }

    [Fact]
    public async Task Four_customers_may_fill_the_process_and_a_fifth_waits_for_one_of_them()
    {
        var four = await Task.WhenAll(Enumerable.Range(0, 4).Select(number => quotas.ReserveUnreadAsync($"customer-{number}", CustomerQuotas.MostOfCustomer)));
        var fifth = quotas.ReserveUnreadAsync("customer-4", 1_024);
        Assert.False(fifth.IsCompleted);

        four[0].Dispose();
        (await fifth.WaitAsync(ClusterFixture.Patience)).Dispose();
    }

    [Fact]
    public async Task Whoever_waits_too_long_is_refused_and_leaves_nothing_behind()
    {
        var first = await quotas.ReserveUnreadAsync("acme", CustomerQuotas.MostOfCustomer);
        var refused = quotas.ReserveUnreadAsync("acme", 1_024);

        clock.Advance(Times.LongestTurnWait);

        await Assert.ThrowsAsync<CustomerBusyException>(() => refused.WaitAsync(ClusterFixture.Patience));
        first.Dispose();
        (await quotas.ReserveUnreadAsync("acme", CustomerQuotas.MostOfCustomer).WaitAsync(ClusterFixture.Patience)).Dispose();
    }

    [Fact]
    public async Task Whoever_waits_for_a_turn_to_read_that_nobody_gets_hears_of_the_database_and_not_of_the_customer()
    {
        using var unanswered = await quotas.TakeReadTurnAsync("acme");
        var refused = quotas.TakeReadTurnAsync("acme");

        clock.Advance(Times.LongestTurnWait);

        await Assert.ThrowsAsync<StorageBusyException>(() => refused.WaitAsync(ClusterFixture.Patience));
    }

    [Fact]
    public async Task Whoever_waits_too_long_behind_a_database_that_answers_now_and_then_hears_of_the_database()
    {
        var first = await quotas.TakeReadTurnAsync("acme");
        var second = quotas.TakeReadTurnAsync("acme");
        var refused = quotas.TakeReadTurnAsync("acme");
        quotas.CountRead("acme", 100_000);
        first.Dispose();
        using var unanswered = await second.WaitAsync(ClusterFixture.Patience);

        clock.Advance(Times.LongestTurnWait);

        await Assert.ThrowsAsync<StorageBusyException>(() => refused.WaitAsync(ClusterFixture.Patience));
    }

    [Theory]
    [InlineData(2, CustomerQuotas.ReadPerSecond)]
    [InlineData(30, 1_000)]
    public async Task Whoever_waits_too_long_while_the_customer_reads_much_or_often_hears_of_the_customer(int reads, int bytes)
    {
        using var held = await quotas.TakeReadTurnAsync("acme");
        var refused = quotas.TakeReadTurnAsync("acme");
        Assert.All(Enumerable.Range(0, reads), _ => quotas.CountRead("acme", bytes));

        clock.Advance(Times.LongestTurnWait);

        await Assert.ThrowsAsync<CustomerBusyException>(() => refused.WaitAsync(ClusterFixture.Patience));
    }

    [Fact]
    public async Task A_customer_has_so_many_bytes_a_second_sent_and_another_as_many()
    {
        Assert.True(quotas.PaceSendAsync("acme", CustomerQuotas.SentPerSecond, CancellationToken.None).AsTask().IsCompleted);
        var more = quotas.PaceSendAsync("acme", CustomerQuotas.SentPerSecond / 4, CancellationToken.None).AsTask();

        Assert.False(more.IsCompleted);
        Assert.True(quotas.PaceSendAsync("globex", CustomerQuotas.SentPerSecond, CancellationToken.None).AsTask().IsCompleted);
        Assert.True(quotas.PaceReadAsync("acme", CustomerQuotas.ReadPerSecond).AsTask().IsCompleted);
        await more.WaitAsync(ClusterFixture.Patience);
    }
}
