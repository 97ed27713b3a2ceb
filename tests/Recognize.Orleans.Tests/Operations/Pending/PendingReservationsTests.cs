using Xunit;

namespace Recognize.Orleans.Operations.Pending;

public sealed class PendingReservationsTests
{
    private readonly PendingReservations reservations = new();

    [Fact]
    public void Creates_of_one_id_share_one_of_the_largest_size_until_the_last_of_them_is_refused()
    {
        reservations.Add("a", 40);
        reservations.Add("a", 60);
        reservations.Add("a", 50);
        Assert.Equal([("a", 60)], reservations.All);

        reservations.Release("a");
        reservations.Release("a");
        Assert.Equal([("a", 60)], reservations.All);
        reservations.Release("a");
        Assert.True(reservations.IsEmpty);
        Assert.False(reservations.AnyInFlight);
    }

    [Fact]
    public void What_is_durable_settles_all_creates_of_its_id()
    {
        reservations.Add("a", 40);
        reservations.Add("a", 40);

        Assert.True(reservations.Succeed("a"));
        Assert.False(reservations.AnyInFlight);
        reservations.Release("a");
        Assert.True(reservations.IsEmpty);
    }

    [Fact]
    public void What_has_ended_before_its_create_was_answered_takes_no_room_and_is_not_pending_when_it_is()
    {
        reservations.Add("a", 40);
        reservations.End("a");

        Assert.Empty(reservations.All);
        Assert.True(reservations.AnyInFlight);
        Assert.False(reservations.Succeed("a"));
        Assert.True(reservations.IsEmpty);
    }

    [Fact]
    public void A_create_without_an_answer_keeps_its_reservation_until_it_is_settled_or_its_operation_ends()
    {
        reservations.Add("a", 40);
        reservations.Add("b", 40);
        reservations.LoseOutcome("a");
        reservations.LoseOutcome("b");
        Assert.False(reservations.AnyInFlight);
        Assert.Equal(2, reservations.All.Count());

        reservations.End("b");
        Assert.Equal([("a", 40)], reservations.All);
        reservations.Settle();
        Assert.True(reservations.IsEmpty);
    }

    [Fact]
    public void A_create_in_flight_keeps_its_reservation_when_others_of_its_id_are_settled()
    {
        reservations.Add("a", 40);
        reservations.Add("a", 40);
        reservations.LoseOutcome("a");

        reservations.Settle();
        Assert.True(reservations.AnyInFlight);
        reservations.Release("a");
        Assert.True(reservations.IsEmpty);
    }
}
