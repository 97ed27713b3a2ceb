using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations.Pending;

public sealed class PendingOperationsTests
{
    private const int Limit = 4;
    // As many operations of the shortest kind as no test has.
    private const int MostBytes = 202;

    private static readonly int Least = SentBytes.Of(Of("a"));

    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);
    private static readonly DateTimeOffset Now = new(2025, 5, 21, 10, 30, 0, TimeSpan.Zero);

    private readonly FakeTimeProvider clock = new();
    private readonly PendingOperations pending;

    public PendingOperationsTests() => pending = new(new Freshness(clock), Limit, MostBytes);

    [Fact]
    public void As_many_reservations_are_made_as_the_limit_has_and_each_id_makes_one()
    {
        Assert.True(Reserve("a", "b", "c", "d", "a", "d"));
        Assert.False(Reserve("e"));

        pending.Release("b");
        Assert.True(Reserve("e"));
        Assert.False(Reserve("b"));
    }

    [Fact]
    public void A_create_that_is_refused_releases_its_reservation()
    {
        Reserve("a", "b", "c", "d");
        pending.Release("c");

        Assert.True(Reserve("e"));
        Assert.False(Reserve("c"));
    }

    [Fact]
    public void A_create_of_what_is_pending_releases_nothing_when_it_is_refused()
    {
        Refresh("a", "b", "c", "d");
        Reserve("a");
        pending.Release("a");

        Assert.False(Reserve("e"));
    }

    [Fact]
    public void A_create_of_what_another_activation_has_created_meanwhile_releases_nothing_either()
    {
        Reserve("d");
        Refresh("a", "b", "c", "d");
        pending.Release("d");

        Assert.False(Reserve("e"));
    }

    [Fact]
    public void Of_two_creates_of_one_id_the_one_that_is_refused_leaves_the_other_its_reservation()
    {
        Reserve("a", "b", "c", "d", "d");

        pending.Release("d");
        Assert.False(Reserve("e"));

        pending.CreateSucceeded(Of("d"));
        Assert.False(Reserve("e"));
    }

    [Fact]
    public void Of_two_creates_of_one_id_the_one_that_comes_second_does_not_release_the_reservation_of_the_one_that_was_done()
    {
        Reserve("a", "b", "c", "d", "d");

        pending.CreateSucceeded(Of("d"));
        pending.Release("d");

        Assert.False(Reserve("e"));
    }

    [Fact]
    public void Who_could_not_reserve_can_wait_for_each_create_that_may_release_its_reservation()
    {
        Assert.False(pending.HasReservations);
        Reserve("a", "b", "c", "d");

        AssertEnds(() => pending.Release("a"));
        AssertEnds(() => pending.CreateSucceeded(Of("b")));
        AssertEnds(() => pending.CreateOutcomeUnknown("c"));
        Assert.True(pending.HasReservations);
        AssertEnds(() => pending.Release("d"));
        Assert.False(pending.HasReservations);
    }

    [Fact]
    public void A_reservation_that_was_made_during_a_refresh_counts_beside_what_the_refresh_finds()
    {
        var refresh = pending.BeginRefresh();
        Assert.True(Reserve("e"));
        pending.EndRefresh(refresh, [Of("a"), Of("b"), Of("c")]);

        Assert.False(Reserve("f"));
        pending.Release("e");
        Assert.True(Reserve("f"));
    }

    [Fact]
    public void Up_to_half_of_the_limit_an_old_count_will_do()
    {
        Assert.True(pending.IsCountStaleFor("new", Least));
        Refresh("a");
        clock.Advance(Times.CacheLifetime);
        Assert.False(pending.IsCountStaleFor("new", Least));

        Reserve("b");
        Assert.True(pending.IsCountStaleFor("new", Least));

        Refresh("a");
        Assert.False(pending.IsCountStaleFor("new", Least));
        clock.Advance(Times.CacheLifetime - Tick);
        Assert.False(pending.IsCountStaleFor("new", Least));
        clock.Advance(Tick);
        Assert.True(pending.IsCountStaleFor("new", Least));
    }

    [Fact]
    public void A_list_is_known_for_five_seconds_from_when_its_refresh_began()
    {
        Assert.False(pending.MayBeServed);
        var refresh = pending.BeginRefresh();
        clock.Advance(TimeSpan.FromSeconds(3));
        Assert.Equal(["a", "b"], Ids(pending.EndRefresh(refresh, [Of("a"), Of("b")])));

        clock.Advance(TimeSpan.FromSeconds(2) - Tick);
        Assert.True(pending.MayBeServed);
        Assert.Equal(["a", "b"], Ids(pending.Snapshot(Now)));

        clock.Advance(Tick);
        Assert.False(pending.MayBeServed);
    }

    [Fact]
    public void While_a_create_is_on_its_way_the_list_is_not_known()
    {
        Refresh("a");
        Assert.True(pending.MayBeServed);

        Reserve("b", "c");
        Assert.False(pending.MayBeServed);
        pending.Release("b");
        Assert.False(pending.MayBeServed);

        pending.CreateSucceeded(Of("c"));
        Assert.True(pending.MayBeServed);
        Assert.Equal(["a", "c"], Ids(pending.Snapshot(Now)));
    }

    [Fact]
    public void What_was_created_during_a_refresh_is_in_its_list_once_whether_the_refresh_has_found_it_or_not()
    {
        Reserve("a", "d");
        var refresh = pending.BeginRefresh();
        pending.CreateSucceeded(Of("d"));
        pending.CreateSucceeded(Of("a"));

        Assert.Equal(["a", "b", "d"], Ids(pending.EndRefresh(refresh, [Of("b"), Of("d")])));
        Assert.Equal(["a", "b", "d"], Ids(pending.Snapshot(Now)));
        Assert.True(Reserve("e"));
        Assert.False(Reserve("f"));
    }

    [Fact]
    public void What_has_ended_during_a_refresh_is_not_in_its_list_although_the_refresh_has_found_it()
    {
        Reserve("c");
        var refresh = pending.BeginRefresh();
        pending.CreateSucceeded(Of("c"));
        pending.Ended("c");
        pending.Ended("a");

        Assert.Equal(["b"], Ids(pending.EndRefresh(refresh, [Of("a"), Of("b"), Of("c")])));
        Assert.True(Reserve("d", "e", "f"));
    }

    [Fact]
    public void What_has_ended_before_its_create_was_answered_is_on_no_list_and_counts_no_more()
    {
        Reserve("b");
        Refresh("a", "b");
        pending.Ending("b");
        pending.Ended("b");
        var refresh = pending.BeginRefresh();

        pending.CreateSucceeded(Of("b"));

        Assert.Equal(["a"], Ids(pending.Snapshot(Now)));
        Assert.Equal(["a"], Ids(pending.EndRefresh(refresh, [Of("a")])));
        Assert.True(Reserve("c", "d", "e"));
    }

    [Fact]
    public void For_ten_seconds_after_a_create_without_an_answer_the_list_is_not_known()
    {
        Unanswered("a");
        Refresh("b");
        Assert.False(pending.MayBeServed);

        clock.Advance(Times.UnknownOutcome - Tick);
        Refresh("b");
        Assert.False(pending.MayBeServed);

        clock.Advance(Tick);
        Refresh("b");
        Assert.True(pending.MayBeServed);
    }

    [Fact]
    public void A_create_without_an_answer_keeps_its_reservation_until_a_refresh_that_began_when_it_could_not_be_done_any_more()
    {
        Unanswered("d");
        Refresh("a", "b", "c");
        Assert.False(Reserve("e"));

        clock.Advance(Times.UnknownOutcome - Tick);
        var early = pending.BeginRefresh();
        clock.Advance(Tick);
        pending.EndRefresh(early, [Of("a"), Of("b"), Of("c")]);
        Assert.False(Reserve("e"));

        Refresh("a", "b", "c");
        Assert.True(Reserve("e"));
    }

    [Fact]
    public void A_create_without_an_answer_releases_its_reservation_although_others_are_on_their_way()
    {
        Unanswered("d");
        clock.Advance(Times.UnknownOutcome);
        Reserve("a");

        Refresh("b");

        Assert.True(Reserve("e", "f"));
        Assert.False(Reserve("g"));
    }

    [Fact]
    public void A_create_without_an_answer_keeps_its_reservation_when_it_is_sent_again_and_refused()
    {
        Refresh("a", "b", "c");
        Unanswered("d");
        Reserve("d");
        pending.Release("d");

        Assert.False(Reserve("e"));
    }

    [Fact]
    public void A_create_without_an_answer_that_was_done_counts_once_until_it_ends()
    {
        Unanswered("d");
        Refresh("a", "b", "c", "d");
        Reserve("d");
        pending.Release("d");
        Assert.False(Reserve("e"));

        pending.Ended("d");
        Refresh("a", "b", "c");
        Assert.True(Reserve("e"));
    }

    [Fact]
    public void What_has_come_to_light_during_a_refresh_is_for_the_next_one_to_find()
    {
        var refresh = pending.BeginRefresh();
        pending.Invalidate();

        Assert.Equal(["a"], Ids(pending.EndRefresh(refresh, [Of("a")])));
        Assert.False(pending.MayBeServed);

        Refresh("a", "b");
        Assert.True(pending.MayBeServed);
        pending.Invalidate();
        Assert.False(pending.MayBeServed);
    }

    [Fact]
    public void While_an_end_is_on_its_way_the_list_is_not_known()
    {
        Refresh("a", "b");
        pending.Ending("a");
        pending.Ending("b");
        Assert.False(pending.MayBeServed);
        pending.Ended("a");
        Assert.False(pending.MayBeServed);

        pending.Ended("b");
        Assert.True(pending.MayBeServed);
        Assert.Empty(Ids(pending.Snapshot(Now)));
    }

    [Fact]
    public void An_end_of_which_no_word_comes_is_on_its_way_for_as_long_as_a_write_can_take()
    {
        pending.Ending("a");
        clock.Advance(Times.LongestWrite - Tick);
        Refresh("a");
        Assert.False(pending.MayBeServed);

        clock.Advance(Tick);
        Assert.True(pending.MayBeServed);
    }

    [Fact]
    public void What_is_overdue_counts_no_more_and_is_on_the_list_no_more()
    {
        var refresh = pending.BeginRefresh();
        pending.EndRefresh(refresh, [Of("a") with { ExpiresAt = Now }, Of("b") with { ExpiresAt = Now.AddTicks(1) }, Of("c"), Of("d")]);

        Assert.Equal(["a", "b", "c", "d"], Ids(pending.Snapshot(Now.AddTicks(-1))));
        Assert.NotNull(pending.Reserve("e", Least, Now.AddTicks(-1)));
        Assert.Equal(["b", "c", "d"], Ids(pending.Snapshot(Now)));
        Assert.Null(pending.Reserve("e", Least, Now));
        Assert.NotNull(pending.Reserve("f", Least, Now));

        clock.Advance(Times.CacheLifetime);
        Assert.Null(pending.Reserve("f", Least, Now.AddTicks(1)));
        Assert.NotNull(pending.Reserve("g", Least, Now.AddTicks(1)));
    }

    [Fact]
    public void Numbers_are_enough_of_a_refresh_when_all_of_them_are_known()
    {
        Refresh("a", "b", "c");
        var before = pending.Snapshot(Now);
        clock.Advance(Times.CacheLifetime);
        Assert.False(pending.MayBeServed);

        Assert.True(RefreshNumbers("a", "b", "c"));
        Assert.True(pending.MayBeServed);
        Assert.Same(before, pending.Snapshot(Now));

        Assert.True(RefreshNumbers("a", "c"));
        Assert.Equal(["a", "c"], Ids(pending.Snapshot(Now)));
        Assert.True(Reserve("d", "e"));
        Assert.False(Reserve("f"));
    }

    [Fact]
    public void A_number_that_is_new_wants_a_refresh_of_the_rows()
    {
        Refresh("a");

        Assert.False(RefreshNumbers("a", "b"));

        Refresh("a", "b");
        Assert.True(RefreshNumbers("a", "b"));
    }

    [Fact]
    public void A_create_that_got_no_answer_keeps_its_reservation_through_refreshes_of_numbers_as_long_as_it_may_arrive()
    {
        Refresh("a", "b", "c");
        Unanswered("d");

        Assert.True(RefreshNumbers("a", "b", "c"));
        Assert.False(Reserve("e"));
        Assert.False(RefreshNumbers("a", "b", "c", "d"));

        clock.Advance(Times.UnknownOutcome);
        Assert.True(RefreshNumbers("a", "b", "c"));
        Assert.True(Reserve("e"));
    }

    [Fact]
    public void What_has_come_to_its_deadline_wants_a_refresh_of_the_rows_because_its_end_must_be_written()
    {
        pending.EndRefresh(pending.BeginRefresh(), [Of("a") with { ExpiresAt = Now.AddTicks(1) }]);

        Assert.True(RefreshNumbers("a"));
        Assert.False(pending.TryEndRefresh(pending.BeginRefresh(), [Of("a").Id], Now.AddTicks(1)));
        pending.Reserve("b", MostBytes, Now.AddTicks(1));
        Assert.False(RefreshNumbers("a"));
    }

    [Fact]
    public void What_is_created_during_a_refresh_of_numbers_is_on_the_list_and_what_has_ended_wants_a_refresh_of_rows()
    {
        Refresh("a", "b");
        var refresh = pending.BeginRefresh();
        Reserve("c");
        pending.CreateSucceeded(Of("c"));
        Assert.True(pending.TryEndRefresh(refresh, [Of("a").Id, Of("b").Id], Now));
        Assert.Equal(["a", "b", "c"], Ids(pending.Snapshot(Now)));

        refresh = pending.BeginRefresh();
        pending.Ended("a");
        Assert.False(pending.TryEndRefresh(refresh, [Of("a").Id, Of("b").Id, Of("c").Id], Now));
        Assert.Equal(["b", "c"], Ids(pending.EndRefresh(refresh, [Of("a"), Of("b"), Of("c")])));
    }

    [Fact]
    public void A_row_that_turns_up_during_a_refresh_of_numbers_wants_a_refresh_of_the_rows()
    {
        Refresh("a");
        var refresh = pending.BeginRefresh();
        pending.Invalidate();

        Assert.False(pending.TryEndRefresh(refresh, [Of("a").Id], Now));
    }

    [Fact]
    public void A_refresh_of_numbers_counts_what_was_dropped_for_its_length()
    {
        Refresh("a", "b", "c", "d");
        clock.Advance(Times.CacheLifetime);
        pending.DropStale();

        Assert.True(RefreshNumbers("a", "b", "c"));

        Assert.False(pending.HasList);
        Assert.True(Reserve("e"));
        Assert.False(Reserve("f"));
    }

    [Fact]
    public void The_list_has_as_many_bytes_as_the_limit_and_not_one_more()
    {
        Assert.Null(pending.Reserve("a", 199, Now));
        Assert.Equal(OperationOutcome.PendingBytesReached, pending.Reserve("b", 2, Now));
        Assert.Null(pending.Reserve("b", 1, Now));

        pending.Release("b");
        Assert.Null(pending.Reserve("d", 1, Now));
        Assert.Equal(OperationOutcome.PendingBytesReached, pending.Reserve("b", 1, Now));
    }

    [Fact]
    public void Of_two_creates_of_one_id_the_larger_is_reserved_and_the_one_that_was_stored_counts()
    {
        pending.Reserve("a", 80, Now);
        Assert.Null(pending.Reserve("a", 120, Now));
        Assert.Equal(OperationOutcome.PendingBytesReached, pending.Reserve("a", 201, Now));
        Assert.Equal(OperationOutcome.PendingBytesReached, pending.Reserve("b", 81, Now));

        pending.CreateSucceeded(Of("a"));
        pending.Release("a");

        Assert.Equal(OperationOutcome.PendingBytesReached, pending.Reserve("b", 201 - Least, Now));
        Assert.Null(pending.Reserve("b", 200 - Least, Now));
    }

    [Fact]
    public void A_create_of_what_is_pending_takes_no_more_room_whatever_its_payload()
    {
        Refresh("a");

        Assert.Null(pending.Reserve("a", 1_000, Now));
        Assert.Null(pending.Reserve("b", 200 - Least, Now));
    }

    [Fact]
    public void A_list_that_has_too_many_bytes_is_told_and_takes_creates_again_when_it_has_shrunk()
    {
        pending.EndRefresh(pending.BeginRefresh(), [Of("a") with { Payload = new string('x', 200) }, Of("b") with { Payload = new string('x', 60) }]);

        Assert.Equal(["a", "b"], Ids(pending.Snapshot(Now)));
        Assert.Equal(OperationOutcome.PendingBytesReached, pending.Reserve("c", Least, Now));

        pending.Ended("a");
        Assert.Null(pending.Reserve("c", Least, Now));
    }

    [Fact]
    public void Beyond_half_of_the_bytes_an_old_count_will_not_do()
    {
        Refresh();
        clock.Advance(Times.CacheLifetime);

        Assert.False(pending.IsCountStaleFor("new", (MostBytes / 2) - SentBytes.OfBrackets));
        Assert.True(pending.IsCountStaleFor("new", (MostBytes / 2) - SentBytes.OfBrackets + 1));
    }

    [Fact]
    public void The_same_operations_have_the_same_version_however_often_they_are_refreshed_and_others_another()
    {
        Refresh("a", "b");
        var first = pending.Snapshot(Now);

        clock.Advance(Times.CacheLifetime);
        Assert.True(pending.DropStale());
        Refresh("a", "b");
        Assert.Equal(first.Version, pending.Snapshot(Now).Version);

        pending.Ended("b");
        Assert.NotEqual(first.Version, pending.Snapshot(Now).Version);
    }

    [Fact]
    public void What_is_too_old_to_be_told_is_dropped_and_counts_still()
    {
        Refresh("a", "b", "c", "d");
        Assert.False(pending.DropStale());

        clock.Advance(Times.CacheLifetime);

        Assert.True(pending.DropStale());
        Assert.False(Reserve("e"));
    }

    [Fact]
    public void Nothing_is_pending_once_everything_has_ended_and_no_create_is_on_its_way()
    {
        Assert.True(pending.IsEmpty);
        Reserve("a");
        Assert.False(pending.IsEmpty);
        pending.CreateSucceeded(Of("a"));
        pending.Ending("a");
        Assert.False(pending.IsEmpty);
        pending.Ended("a");
        Assert.True(pending.IsEmpty);
    }

    [Fact]
    public void A_refresh_that_failed_takes_nothing_along_into_the_next()
    {
        pending.BeginRefresh();
        pending.Ended("a");

        Refresh("a");

        Assert.Equal(["a"], Ids(pending.Snapshot(Now)));
    }

    // Creates, ends and refreshes come in any order, and a row is there, or has ended, before anybody is told. What is known is what the rows are;
    // a refresh tells at least what was acknowledged before it began, and nothing whose end was acknowledged.
    [Fact]
    public void What_is_known_is_what_the_rows_are_in_the_order_of_time_and_number_whatever_comes_when() =>
        Gen.Select(Gen.Enum<Step>(), Gen.Int[0, Rows.Count - 1]).Array[0, 150].Sample(steps => Array.ForEach(steps, new Rows().Do));

    private bool Reserve(params string[] ids) => ids.All(id => pending.Reserve(id, Least, Now) is null);

    private void AssertEnds(Action end)
    {
        var next = pending.NextReleased;
        Assert.False(next.IsCompleted);
        end();
        Assert.True(next.IsCompleted);
    }

    private void Unanswered(string id)
    {
        Reserve(id);
        pending.CreateOutcomeUnknown(id);
    }

    private void Refresh(params string[] found) => pending.EndRefresh(pending.BeginRefresh(), found.Select(Of));

    private bool RefreshNumbers(params string[] found) => pending.TryEndRefresh(pending.BeginRefresh(), [.. found.Select(id => Of(id).Id)], Now);

    private static IEnumerable<string> Ids(PendingSnapshot list) => list.Operations!.Value.Select(operation => operation.OperationId);

    // In the order of the alphabet.
    private static Operation Of(string id) => Of(id, Now.AddMilliseconds(id[0]), id[0]);

    private static Operation Of(string id, DateTimeOffset createdAt, long number) => new()
    {
        Id = number,
        CreatedAt = createdAt,
        NodeId = "node-1",
        OperationId = id,
        UserId = "A1B2C3D4E5F6",
        Status = OperationStatus.Pending,
    };

    private enum Step
    {
        SendCreate,
        CommitCreate,
        AnswerCreate,
        SendEnd,
        CommitEnd,
        AnswerEnd,
        BeginRefresh,
        EndRefresh,
        EndRefreshOfNumbers,
        Wait,
    }

    /// <summary>What is true: how far the create and the end of each operation have come. A step that cannot be yet, or has been, is none.</summary>
    private sealed class Rows
    {
        public const int Count = 3;

        private readonly Operation[] operations =
            [.. Enumerable.Range(0, Count).Select(number => Of($"{number}", Now.AddMilliseconds(number % 2), Count - number))];

        private readonly Step?[] creates = new Step?[Count];
        private readonly Step?[] ends = new Step?[Count];
        private readonly FakeTimeProvider clock = new();
        private readonly PendingOperations pending;
        private (PendingOperations.Refresh Refresh, Operation[] Acknowledged, Operation[] Found)? refreshing;

        public Rows() => pending = new(new Freshness(clock), Count, MostBytes);

        private Operation[] Pending => InOrder(i => creates[i] is Step.CommitCreate or Step.AnswerCreate && ends[i] is not (Step.CommitEnd or Step.AnswerEnd));

        public void Do((Step Step, int Number) next)
        {
            var (step, number) = next;
            var (operation, create, end) = (operations[number], creates[number], ends[number]);
            switch (step)
            {
                case Step.SendCreate when create is null:
                    creates[number] = step;
                    Assert.Null(pending.Reserve(operation.OperationId, Least, Now));
                    break;
                case Step.CommitCreate when create is Step.SendCreate:
                    creates[number] = step;
                    break;
                case Step.AnswerCreate when create is Step.CommitCreate:
                    creates[number] = step;
                    pending.CreateSucceeded(operation);
                    break;
                case Step.SendEnd when create is Step.CommitCreate or Step.AnswerCreate && end is null:
                    ends[number] = step;
                    pending.Ending(operation.OperationId);
                    break;
                case Step.CommitEnd when end is Step.SendEnd:
                    ends[number] = step;
                    break;
                case Step.AnswerEnd when end is Step.CommitEnd:
                    ends[number] = step;
                    pending.Ended(operation.OperationId);
                    break;
                case Step.BeginRefresh when refreshing is null:
                    refreshing = (pending.BeginRefresh(), InOrder(i => creates[i] is Step.AnswerCreate && ends[i] is null), Pending);
                    break;
                case Step.EndRefresh when refreshing is var (refresh, acknowledged, found):
                    refreshing = null;
                    var list = pending.EndRefresh(refresh, found).Operations!.Value;
                    Assert.Equal(InOrder(i => list.Contains(operations[i])), list);
                    Assert.Subset(list.ToHashSet(), acknowledged.Where(one => ends[Array.IndexOf(operations, one)] is null).ToHashSet());
                    Assert.Subset(InOrder(i => creates[i] is Step.CommitCreate or Step.AnswerCreate && ends[i] is not Step.AnswerEnd).ToHashSet(), list.ToHashSet());
                    break;

                // Where numbers are not enough, another refresh may begin at once.
                case Step.EndRefreshOfNumbers when refreshing is var (refresh, _, found):
                    refreshing = pending.TryEndRefresh(refresh, [.. found.Select(one => one.Id)], Now) ? null
                        : (pending.BeginRefresh(), InOrder(i => creates[i] is Step.AnswerCreate && ends[i] is null), Pending);
                    break;

                // The word of an end comes sooner than what this waits.
                case Step.Wait when ends.All(any => any is null or Step.AnswerEnd):
                    clock.Advance(TimeSpan.FromSeconds(1 + number));
                    break;
            }

            Assert.Equal(pending.MayBeServed ? Pending : [], pending.MayBeServed ? pending.Snapshot(Now).Operations!.Value : []);
        }

        private Operation[] InOrder(Func<int, bool> which) =>
            [.. Enumerable.Range(0, Count).Where(which).Select(i => operations[i]).OrderBy(operation => (operation.CreatedAt, operation.Id))];
    }
}
