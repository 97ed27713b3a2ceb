using CsCheck;
using Xunit;

namespace Recognize.Orleans.Users;

public sealed class UserStateTests
{
    private const string User = "A1B2C3D4E5F6";

    private static readonly DateTimeOffset Now = new(2025, 5, 21, 10, 30, 0, TimeSpan.Zero);

    [Fact]
    public void An_id_is_tracked_once_with_the_time_of_its_first_attempt()
    {
        var first = new UserState().Track("a", Now);

        Assert.Same(first, first.Track("a", Now.AddMinutes(1)));
        Assert.Equal(("a", Now), (first.Pending.Single().Id, first.Pending.Single().At));
    }

    [Fact]
    public void Ids_are_compared_to_the_character() =>
        Assert.Equal(["a", "A", "a ", "é", "e\u0301"], Ids(Tracking("a", "A", "a ", "é", "e\u0301", "a")));

    [Fact]
    public void An_id_whose_attempt_was_abandoned_long_ago_gets_the_time_of_the_new_attempt()
    {
        var state = Tracking("a", "b");

        Assert.Same(state, state.Track("a", Now + (UserState.Grace / 2) - TimeSpan.FromTicks(1)));
        var again = state.Track("a", Now + (UserState.Grace / 2));

        Assert.Equal(["b", "a"], Ids(again));
        Assert.Equal(Now + (UserState.Grace / 2), again.Pending[1].At);
    }

    [Fact]
    public void An_id_that_is_forgotten_is_gone_and_one_that_is_unknown_changes_nothing()
    {
        var state = Tracking("a", "b");

        Assert.Equal(["b"], Ids(state.Forget("a")));
        Assert.Same(state, state.Forget("c"));
    }

    [Fact]
    public void A_list_drops_the_entries_that_it_looked_at_and_no_other()
    {
        var state = Tracking("a", "b", "c");

        Assert.Equal(["b"], Ids(state.Drop(Entries(state.Pending[0], state.Pending[2]))));
        Assert.Same(state, state.Drop(Entries()));
    }

    [Fact]
    public void An_id_that_was_tracked_anew_is_not_dropped_by_a_list_that_looked_at_the_older_entry()
    {
        var old = Tracking("a");
        var anew = old.Track("a", Now + UserState.Grace);

        Assert.Equal(["a"], Ids(anew.Drop(Entries(old.Pending[0]))));
    }

    [Fact]
    public void An_id_that_was_forgotten_and_tracked_at_the_same_instant_is_not_the_entry_that_it_equals()
    {
        var old = Tracking("a");
        var anew = old.Forget("a").Track("a", Now);

        Assert.Equal(old.Pending[0], anew.Pending[0]);
        Assert.Equal(["a"], Ids(anew.Drop(Entries(old.Pending[0]))));
    }

    [Fact]
    public void An_id_without_an_operation_stays_for_ten_minutes_and_not_longer()
    {
        var entry = Tracking("a").Pending[0];

        Assert.Equal(TimeSpan.FromMinutes(10), UserState.Grace);
        Assert.False(UserState.IsOver(entry, User, operation: null, Now.AddMinutes(10)));
        Assert.True(UserState.IsOver(entry, User, operation: null, Now.AddMinutes(10).AddTicks(1)));
    }

    [Theory]
    [InlineData(OperationStatus.Pending, User, false)]
    [InlineData(OperationStatus.Approved, User, true)]
    [InlineData(OperationStatus.Denied, User, true)]
    [InlineData(OperationStatus.Pending, "FF", true)]
    public void An_id_with_an_operation_is_over_when_it_is_decided_or_asks_another_user(OperationStatus status, string userId, bool over)
    {
        var entry = Tracking("a").Pending[0];

        Assert.Equal(over, UserState.IsOver(entry, User, OperationOf(userId, status), Now));
        Assert.Equal(over, UserState.IsOver(entry, User, OperationOf(userId, status), Now.AddYears(1)));
    }

    [Fact]
    public void A_record_behaves_as_a_list_of_different_ids_in_the_order_of_their_last_attempt() =>
        Gen.Select(Gen.Bool, Gen.OneOfConst("a", "b", "c", "d"), Gen.Int[0, 400]).Array[0, 30].Sample(steps =>
        {
            var state = new UserState();
            var model = new List<(string Id, DateTimeOffset At)>();
            var time = Now;
            foreach (var (tracks, id, seconds) in steps)
            {
                time = time.AddSeconds(seconds);
                var known = model.FindIndex(entry => entry.Id == id);
                var stays = tracks && known >= 0 && time - model[known].At < TimeSpan.FromMinutes(5);
                model.RemoveAll(entry => entry.Id == id && !stays);
                model.AddRange(tracks && !stays ? [(id, time)] : []);

                state = tracks ? state.Track(id, time) : state.Forget(id);

                Assert.Equal(model, state.Pending.Select(entry => (entry.Id, entry.At)));
                Assert.Equal(model.Exists(entry => entry.Id == id), state.Tracks(id));
            }
        });

    private static UserState Tracking(params string[] ids) =>
        ids.Aggregate(new UserState(), (state, id) => state.Track(id, Now));

    private static string[] Ids(UserState state) => [.. state.Pending.Select(entry => entry.Id)];

    private static HashSet<TrackedOperation> Entries(params TrackedOperation[] entries) => new(entries, ReferenceEqualityComparer.Instance);

    private static Operation OperationOf(string userId, OperationStatus status) => new()
    {
        Id = 1,
        CreatedAt = Now,
        NodeId = "node-1",
        OperationId = "a",
        UserId = userId,
        Status = status,
    };
}
