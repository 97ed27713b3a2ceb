using Xunit;

namespace Recognize.Orleans.Operations.Pending;

public sealed class PendingListTests
{
    private static readonly DateTimeOffset Now = new(2025, 5, 21, 10, 30, 0, TimeSpan.Zero);

    private readonly PendingList list = new();

    [Fact]
    public void It_is_in_the_order_of_time_and_then_of_numbers_however_it_was_filled()
    {
        list.Replace([Of(3, Now), Of(2, Now.AddMilliseconds(1))], readAt: 7);
        list.Add(Of(1, Now.AddMilliseconds(1)));
        list.Add(Of(4, Now));

        Assert.Equal([3, 4, 1, 2], list.Snapshot().Operations!.Value.Select(operation => operation.Id));
        Assert.Equal(7, list.ReadAt);
    }

    [Fact]
    public void Its_bytes_are_those_of_what_is_on_it_each_operation_once()
    {
        list.Add(Of(1, Now));
        list.Add(Of(1, Now));
        list.Add(Of(2, Now) with { Payload = "pay 5" });
        list.Remove("2");
        list.Remove("3");

        Assert.Equal((1, SentBytes.OfBrackets + SentBytes.Of(Of(1, Now))), (list.Count, list.Bytes));
    }

    [Fact]
    public void What_was_dropped_counts_still_and_is_cached_again_when_it_is_read()
    {
        list.Replace([Of(1, Now), Of(2, Now)], readAt: 0);
        var first = list.Snapshot();

        list.Drop();
        list.Add(Of(3, Now));
        Assert.Equal((false, 3), (list.IsCached, list.Count));

        list.Replace([Of(1, Now), Of(2, Now)], readAt: 0);
        Assert.Equal((true, first.Version), (list.IsCached, list.Snapshot().Version));
    }

    [Fact]
    public void It_has_all_of_some_numbers_unless_one_is_new_or_overdue()
    {
        list.Replace([Of(1, Now), Of(2, Now) with { ExpiresAt = Now.AddSeconds(5) }], readAt: 0);

        Assert.True(list.HasAll([1, 2], Now));
        Assert.True(list.HasAll([1], Now.AddSeconds(5)));
        Assert.False(list.HasAll([1, 2], Now.AddSeconds(5)));
        Assert.False(list.HasAll([1, 3], Now));
    }

    [Fact]
    public void It_is_long_with_more_than_25_operations_and_with_one_of_a_long_payload()
    {
        list.Replace(Enumerable.Range(1, 25).Select(number => Of(number, Now)), readAt: 0);
        Assert.False(list.IsLong);
        list.Add(Of(26, Now));
        Assert.True(list.IsLong);

        list.Replace([Of(1, Now) with { Payload = new string('x', 16_384) }], readAt: 0);
        Assert.True(list.IsLong);
    }

    private static Operation Of(long number, DateTimeOffset createdAt) => new()
    {
        Id = number,
        CreatedAt = createdAt,
        NodeId = "node-1",
        OperationId = $"{number}",
        UserId = "A1B2C3D4E5F6",
        Status = OperationStatus.Pending,
    };
}
