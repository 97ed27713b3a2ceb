using CsCheck;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.State;
using Xunit;

namespace Recognize.Orleans.Operations;

public sealed class OperationStateTests
{
    private static readonly DateTimeOffset Now = new(2025, 5, 21, 12, 30, 0, TimeSpan.FromHours(2));

    private const string User = "A1B2C3D4E5F6";

    private static readonly UserKey Owner = new("acme", User);

    private static readonly Gen<string> Users = Gen.OneOf(User, "0", "FF");

    private static readonly Gen<CreateOperation> Creates =
        from externalUserId in Gen.OneOf(Gen.OneOf<string?>(null, ""), Texts.Any)
        from payload in Gen.OneOf(Gen.OneOf<string?>(null, "pay 5"), Texts.Any)
        from authType in Gen.OneOf<AuthType?>(null, AuthType.Biom, AuthType.Pin)
        from key in Gen.OneOf(null, "key-1", "key-2")
        from attempt in Gen.OneOf("attempt-1", "attempt-2")
        select new CreateOperation { OperationId = "txn-1", ExternalUserId = externalUserId, Payload = payload, AuthType = authType, IdempotencyKey = key, Attempt = attempt };

    private static readonly Gen<Decision> Decisions =
        from userId in Users
        from verdict in Gen.OneOf(Verdict.Approve, Verdict.Deny)
        from authType in Gen.OneOf(AuthType.Biom, AuthType.Pin)
        from payload in Gen.OneOf(null, "", "pay 5")
        select new Decision { UserId = userId, Verdict = verdict, AuthType = authType, Payload = payload };

    [Fact]
    public void What_was_sent_is_given_back_to_the_character() =>
        Creates.Sample(request =>
        {
            var operation = OperationState.Create(Owner, request, 7, "node-1", Now).ToOperation();

            Assert.Equal(
                ("txn-1", User, request.ExternalUserId, request.Payload, request.AuthType),
                (operation.OperationId, operation.UserId, operation.ExternalUserId, operation.Payload, operation.AuthType));
            Assert.Equal((7, "node-1", OperationStatus.Pending, null), (operation.Id, operation.NodeId, operation.Status, operation.DecidedAt));
        });

    [Fact]
    public void A_text_with_NUL_is_kept_apart_from_the_member_that_databases_read()
    {
        var state = Created(Request() with { Payload = "a\0b" });

        Assert.Null(state.Payload);
        Assert.Equal("a\0b"u8.ToArray(), state.PayloadBase64);
        Assert.Equal("a\0b", state.ToOperation().Payload);
    }

    [Theory]
    [InlineData(OperationStatus.Approved)]
    [InlineData(OperationStatus.Denied)]
    [InlineData(OperationStatus.Cancelled)]
    [InlineData(OperationStatus.Expired)]
    public void It_had_ended_by_the_time_of_its_end_and_not_a_tick_before(OperationStatus status)
    {
        var end = Now.AddSeconds(5);
        var state = OperationState.Create(Owner, Request() with { ExpiresIn = status is OperationStatus.Expired ? TimeSpan.FromSeconds(5) : null }, 7, "node-1", Now);
        state = status switch
        {
            OperationStatus.Approved => state.Decide(Approval(), end).Next,
            OperationStatus.Denied => state.Decide(Approval() with { Verdict = Verdict.Deny }, end).Next,
            OperationStatus.Cancelled => state.Cancel(null, end).Next,
            _ => state.Expire(end),
        };

        Assert.Equal(status, state.ToOperation().Status);
        Assert.True(state.HadEndedBy(end));
        Assert.False(state.HadEndedBy(end.AddTicks(-1)));
    }

    [Fact]
    public void What_is_overdue_had_ended_by_its_deadline_whether_that_is_written_or_not()
    {
        var deadline = Now.AddSeconds(5);
        var overdue = Created(Request() with { ExpiresIn = TimeSpan.FromSeconds(5) });

        Assert.False(overdue.HadEndedBy(deadline.AddTicks(-1)));
        Assert.True(overdue.HadEndedBy(deadline));
        Assert.True(overdue.Expire(deadline.AddDays(1)).HadEndedBy(deadline));
    }

    [Fact]
    public void What_is_pending_has_not_ended_however_long_ago_it_was_created() =>
        Assert.False(OperationState.Create(Owner, Request(), 7, "node-1", Now).HadEndedBy(Now.AddYears(100)));

    [Fact]
    public void What_is_left_of_it_is_a_few_bytes_with_no_word_of_it_that_take_its_id_from_every_other_create() =>
        Gen.Select(Creates, Creates).Sample((request, other) =>
        {
            var tombstone = OperationState.Create(Owner, request, 8819, "node-1", Now).Remove(Now.AddDays(30));

            Assert.Equal(
                """{"v":4,"keys":["op/~/2025-06-20T10:30:00.000Z/0000000000008819",null,null],"id":8819,"removedAt":"2025-06-20T10:30:00.000Z"}""",
                new StateSerializer(StateJson.Default).Serialize(tombstone).ToString());
            Assert.Equal(OperationOutcome.Duplicate, tombstone.Replay(User, other));
            Assert.False(tombstone.HadEndedBy(Now.AddYears(100)));
        });

    [Fact]
    public void Times_are_whole_milliseconds_in_UTC()
    {
        var created = OperationState.Create(Owner, Request(), 7, "node-1", Now.AddTicks(9_999));
        var (_, decided) = created.Decide(Approval(), Now.AddSeconds(1).AddTicks(19_999));

        var operation = decided.ToOperation();
        Assert.Equal(new DateTimeOffset(2025, 5, 21, 10, 30, 0, TimeSpan.Zero), operation.CreatedAt);
        Assert.Equal(new DateTimeOffset(2025, 5, 21, 10, 30, 1, 1, TimeSpan.Zero), operation.DecidedAt);
        Assert.Equal((TimeSpan.Zero, TimeSpan.Zero), (operation.CreatedAt.Offset, operation.DecidedAt!.Value.Offset));
    }

    [Fact]
    public void The_same_attempt_sent_again_is_done() =>
        Assert.Equal(OperationOutcome.Done, Created(Request()).Replay(User, Request()));

    [Fact]
    public void Another_attempt_is_a_duplicate_even_with_the_same_members() =>
        Assert.Equal(OperationOutcome.Duplicate, Created(Request()).Replay(User, Request() with { Attempt = "attempt-2" }));

    [Fact]
    public void The_same_key_and_members_in_another_attempt_are_done() =>
        Assert.Equal(OperationOutcome.Done, CreatedWithKey().Replay(User, AgainWithKey()));

    [Fact]
    public void The_same_key_is_done_after_the_decision_too()
    {
        var (_, denied) = CreatedWithKey().Decide(Approval() with { Verdict = Verdict.Deny, AuthType = AuthType.Pin }, Now);

        Assert.Equal(OperationOutcome.Done, denied.Replay(User, AgainWithKey()));
    }

    [Fact]
    public void The_same_key_with_any_other_member_is_refused()
    {
        CreateOperation[] others =
        [
            AgainWithKey() with { ExternalUserId = null },
            AgainWithKey() with { Payload = "pay 6" },
            AgainWithKey() with { Payload = null },
            AgainWithKey() with { AuthType = AuthType.Biom },
        ];

        Assert.All(others, other => Assert.Equal(OperationOutcome.IdempotencyKeyReused, CreatedWithKey().Replay(User, other)));
        Assert.Equal(OperationOutcome.IdempotencyKeyReused, CreatedWithKey().Replay("FF", AgainWithKey()));
    }

    [Fact]
    public void Another_key_or_none_is_a_duplicate()
    {
        Assert.Equal(OperationOutcome.Duplicate, CreatedWithKey().Replay(User, AgainWithKey() with { IdempotencyKey = "KEY-1" }));
        Assert.Equal(OperationOutcome.Duplicate, CreatedWithKey().Replay(User, AgainWithKey() with { IdempotencyKey = null }));
        Assert.Equal(OperationOutcome.Duplicate, Created(Request()).Replay(User, AgainWithKey()));
    }

    [Fact]
    public void A_create_sent_twice_is_done_twice_whatever_it_holds() =>
        Creates.Sample(request => Created(request).Replay(User, request) is OperationOutcome.Done);

    [Fact]
    public void A_create_is_done_again_only_for_the_same_attempt_or_the_same_key_and_members() =>
        Gen.Select(Creates, Creates, Users).Sample((first, second, user) =>
        {
            var outcome = Created(first).Replay(user, second);

            var sameMembers = user == User && first with { Attempt = "", IdempotencyKey = null } == second with { Attempt = "", IdempotencyKey = null };
            var sentAgain = first.Attempt == second.Attempt || (first.IdempotencyKey is not null && first.IdempotencyKey == second.IdempotencyKey);
            var expected = !sentAgain ? OperationOutcome.Duplicate
                : sameMembers ? OperationOutcome.Done
                : OperationOutcome.IdempotencyKeyReused;
            Assert.Equal(expected, outcome);
        });

    [Theory]
    [InlineData(Verdict.Approve, OperationStatus.Approved)]
    [InlineData(Verdict.Deny, OperationStatus.Denied)]
    public void A_decision_is_recorded_with_its_time_and_authentication(Verdict verdict, OperationStatus status)
    {
        var (outcome, next) = Created(Request()).Decide(Approval() with { Verdict = verdict, AuthType = AuthType.Pin }, Now.AddMinutes(1));

        var operation = next.ToOperation();
        Assert.Equal(OperationOutcome.Done, outcome);
        Assert.Equal((status, Now.AddMinutes(1), AuthType.Pin), (operation.Status, operation.DecidedAt, operation.AuthType));
    }

    [Fact]
    public void A_decision_by_another_user_is_refused() =>
        AssertRefused(OperationOutcome.WrongUser, Created(Request()), Approval() with { UserId = "FF" });

    [Fact]
    public void A_decision_with_an_authentication_that_is_not_demanded_is_refused() =>
        AssertRefused(OperationOutcome.AuthTypeNotAllowed, Created(Request() with { AuthType = AuthType.Pin }), Approval());

    [Theory]
    [InlineData("pay 5", "pay 6")]
    [InlineData("pay 5", "")]
    [InlineData("pay 5", "PAY 5")]
    [InlineData("é", "e\u0301")]
    [InlineData("a\0b", "ab")]
    [InlineData(null, "")]
    public void A_decision_about_another_payload_is_refused(string? payload, string seen) =>
        AssertRefused(OperationOutcome.PayloadMismatch, Created(Request() with { Payload = payload }), Approval() with { Payload = seen });

    [Theory]
    [InlineData("pay 5", "pay 5")]
    [InlineData("a\0b", "a\0b")]
    [InlineData("pay 5", null)]
    [InlineData(null, null)]
    public void A_decision_about_the_same_payload_or_without_one_is_done(string? payload, string? seen) =>
        Assert.Equal(OperationOutcome.Done, Created(Request() with { Payload = payload }).Decide(Approval() with { Payload = seen }, Now).Outcome);

    [Fact]
    public void A_verdict_or_an_authentication_that_is_unknown_changes_nothing()
    {
        Assert.Throws<ArgumentException>(() => Created(Request()).Decide(Approval() with { Verdict = 0 }, Now));
        Assert.Throws<ArgumentException>(() => Created(Request()).Decide(Approval() with { AuthType = 0 }, Now));
    }

    [Fact]
    public void The_same_decision_again_is_done_and_keeps_the_first_time()
    {
        var (_, decided) = Created(Request()).Decide(Approval(), Now);

        var (outcome, next) = decided.Decide(Approval(), Now.AddHours(1));

        Assert.Equal(OperationOutcome.Done, outcome);
        Assert.Same(decided, next);
    }

    [Fact]
    public void A_decision_that_differs_from_the_first_is_refused()
    {
        var (_, decided) = Created(Request()).Decide(Approval(), Now);

        AssertRefused(OperationOutcome.AlreadyDecided, decided, Approval() with { Verdict = Verdict.Deny });
        AssertRefused(OperationOutcome.AlreadyDecided, decided, Approval() with { AuthType = AuthType.Pin });
    }

    [Theory]
    [InlineData(-1, OperationStatus.Pending, OperationOutcome.Done)]
    [InlineData(0, OperationStatus.Expired, OperationOutcome.Expired)]
    [InlineData(1, OperationStatus.Expired, OperationOutcome.Expired)]
    public void An_operation_expires_at_its_deadline_and_not_a_tick_before(long ticks, OperationStatus status, OperationOutcome outcome)
    {
        var created = Created(Request() with { ExpiresIn = TimeSpan.FromSeconds(5) });
        var deadline = Now.AddSeconds(5);
        var now = deadline.AddTicks(ticks);

        var operation = created.Expire(now).ToOperation();

        Assert.Equal((status, deadline), (operation.Status, operation.ExpiresAt));
        Assert.Equal(status is OperationStatus.Expired ? deadline : null, operation.DecidedAt);
        Assert.Equal(status is OperationStatus.Expired, created.IsOverdue(now));
        Assert.Equal(outcome, created.Decide(Approval(), now).Outcome);
        Assert.Equal(outcome, created.Cancel("too late", now).Outcome);
    }

    [Fact]
    public void Until_its_end_is_written_an_operation_is_told_as_pending() =>
        Assert.Equal(
            (OperationStatus.Pending, null),
            Created(Request() with { ExpiresIn = TimeSpan.FromSeconds(5) }).ToOperation() is var operation ? (operation.Status, operation.DecidedAt) : default);

    [Fact]
    public void Whoever_comes_after_the_deadline_writes_the_expiry_and_nothing_of_what_was_asked() =>
        Gen.Select(Creates, Decisions, Gen.Int[1, 60], Gen.Long[0, TimeSpan.TicksPerDay]).Sample((request, decision, seconds, late) =>
        {
            var created = Created(request with { ExpiresIn = TimeSpan.FromSeconds(seconds), AuthType = null });
            var now = created.ExpiresAt!.Value.AddTicks(late);
            var expired = created with { Keys = created.Keys with { Open = null }, Status = OperationStatus.Expired, DecidedAt = created.ExpiresAt };

            Assert.Equal(expired, created.Expire(now));
            Assert.Equal((OperationOutcome.Expired, expired), created.Decide(decision with { UserId = created.UserId, Payload = null }, now));
            Assert.Equal((OperationOutcome.Expired, expired), created.Cancel("too late", now));

            // Written once, it never changes, even for a silo whose clock is behind the deadline.
            Assert.Same(expired, expired.Expire(now));
            Assert.Equal((OperationOutcome.Expired, expired), expired.Decide(decision with { UserId = created.UserId, Payload = null }, Now));
            Assert.Equal((OperationOutcome.Expired, expired), expired.Cancel(null, Now));
            Assert.False(expired.IsOverdue(now));
        });

    [Fact]
    public void What_has_ended_or_has_no_deadline_does_not_expire() =>
        Gen.Select(Creates, Decisions, Gen.Int[0, 4], Gen.Bool).Sample((request, decision, seconds, cancels) =>
        {
            var created = Created(request with { ExpiresIn = TimeSpan.FromSeconds(5), AuthType = null });
            var ended = cancels
                ? created.Cancel(null, Now.AddSeconds(seconds)).Next
                : created.Decide(decision with { UserId = created.UserId, Payload = null }, Now.AddSeconds(seconds)).Next;

            Assert.Same(ended, ended.Expire(Now.AddYears(100)));
            Assert.False(ended.IsOverdue(Now.AddYears(100)));
            Assert.False(Created(request).IsOverdue(Now.AddYears(100)));
        });

    [Fact]
    public void It_stands_in_its_history_from_the_first_write_on_and_among_what_is_pending_until_its_end()
    {
        const string Key = "op/acme/A1B2C3D4E5F6/2025-05-21T10:30:00.000Z/0000000000000007";
        var pending = Created(Request() with { ExpiresIn = TimeSpan.FromSeconds(5) });

        Assert.Equal(new(Key, Open: Key), pending.Keys);
        OperationState[] ends = [pending.Decide(Approval(), Now).Next, pending.Cancel(null, Now).Next, pending.Expire(Now.AddSeconds(5))];
        Assert.All(ends, end => Assert.Equal(new(Key), end.Keys));
    }

    [Fact]
    public void The_order_of_keys_is_that_of_time_and_then_of_numbers() =>
        Gen.Select(Gen.Long[0, 20], Gen.Long[1, 9_007_199_254_740_991]).Array[2].Sample(both =>
        {
            var keys = both.Select(one => OperationState.Create(Owner, Request(), one.Item2, "node-1", Now.AddMilliseconds(one.Item1)).Keys.Owner).ToList();

            Assert.Equal(both[0].CompareTo(both[1]) < 0, string.CompareOrdinal(keys[0], keys[1]) < 0);
        });

    [Fact]
    public void A_key_is_taken_apart_as_it_was_made()
    {
        var key = Created(Request()).Keys.Owner!;

        Assert.Equal((Owner, "2025-05-21T10:30:00.000Z/0000000000000007"), OperationState.ParseKey(key));
        Assert.Equal(7, OperationState.NumberOf(key));
        Assert.Null(OperationState.ParseKey("op/no place"));
    }

    [Fact]
    public void The_longest_key_fits_its_column()
    {
        var longest = OperationState.Create(new(new('a', OperationLimits.Customer), new('A', OperationLimits.UserId)), Request(), 9_007_199_254_740_991, "node-1", Now);

        Assert.InRange(longest.Keys.Owner!.Length, 0, 220);
    }

    [Fact]
    public void What_was_decided_in_time_never_expires_and_may_be_repeated_after_the_deadline()
    {
        var (_, decided) = Created(Request() with { ExpiresIn = TimeSpan.FromSeconds(5) }).Decide(Approval(), Now.AddSeconds(4));

        Assert.Equal(OperationStatus.Approved, decided.ToOperation().Status);
        Assert.Equal((OperationOutcome.Done, decided), decided.Decide(Approval(), Now.AddDays(1)));
    }

    [Fact]
    public void The_create_says_how_long_or_the_service_does_or_nobody()
    {
        var asked = OperationState.Create(Owner, Request() with { ExpiresIn = TimeSpan.FromSeconds(5) }, 7, "node-1", Now, TimeSpan.FromMinutes(5));
        var left = OperationState.Create(Owner, Request(), 7, "node-1", Now, TimeSpan.FromMinutes(5));

        Assert.Equal(Now.AddSeconds(5), asked.ExpiresAt);
        Assert.Equal(Now.AddMinutes(5), left.ExpiresAt);
        Assert.Null(Created(Request()).ExpiresAt);
        Assert.Equal(OperationOutcome.IdempotencyKeyReused, left.Replay(User, Request() with { ExpiresIn = TimeSpan.FromMinutes(5) }));
        Assert.Equal(OperationOutcome.Done, left.Replay(User, Request()));
    }

    [Fact]
    public void A_cancelled_operation_keeps_its_reason_and_is_told_to_whoever_decides()
    {
        var (outcome, cancelled) = Created(Request()).Cancel("ordered twice", Now.AddMinutes(1));

        var operation = cancelled.ToOperation();
        Assert.Equal(OperationOutcome.Done, outcome);
        Assert.Equal((OperationStatus.Cancelled, Now.AddMinutes(1), "ordered twice"), (operation.Status, operation.DecidedAt, operation.Reason));
        Assert.Equal((OperationOutcome.Done, cancelled), cancelled.Cancel("another reason", Now.AddMinutes(2)));
        AssertRefused(OperationOutcome.Cancelled, cancelled, Approval());
    }

    [Theory]
    [InlineData(Verdict.Approve, OperationOutcome.AlreadyApproved)]
    [InlineData(Verdict.Deny, OperationOutcome.AlreadyDenied)]
    public void A_decided_operation_cannot_be_cancelled_and_says_how_it_was_decided(Verdict verdict, OperationOutcome outcome)
    {
        var (_, decided) = Created(Request()).Decide(Approval() with { Verdict = verdict }, Now);

        Assert.Equal((outcome, decided), decided.Cancel(null, Now));
    }

    [Fact]
    public void A_denial_may_have_a_reason_and_an_approval_has_none()
    {
        var (_, denied) = Created(Request()).Decide(Approval() with { Verdict = Verdict.Deny, Reason = "not mine" }, Now);

        Assert.Equal("not mine", denied.ToOperation().Reason);
        Assert.Throws<ArgumentException>(() => Created(Request()).Decide(Approval() with { Reason = "sure" }, Now));
    }

    [Fact]
    public void The_first_decision_that_is_allowed_counts_and_nothing_changes_after_it() =>
        Gen.Select(Creates, Decisions.Array[0, 8]).Sample((request, decisions) =>
        {
            var asked = new Asked(request);
            Array.ForEach(decisions, asked.Decide);
            asked.ShouldBeAsTheFirstDecisionLeftIt();
        });

    private static void AssertRefused(OperationOutcome expected, OperationState state, Decision decision)
    {
        var (outcome, next) = state.Decide(decision, Now.AddHours(1));

        Assert.Equal(expected, outcome);
        Assert.Same(state, next);
    }

    private static OperationState Created(CreateOperation request) => OperationState.Create(Owner, request, 7, "node-1", Now);

    private static OperationState CreatedWithKey() =>
        Created(AgainWithKey() with { Attempt = "attempt-1" });

    private static CreateOperation AgainWithKey() => Request() with
    {
        Attempt = "attempt-2",
        IdempotencyKey = "key-1",
        ExternalUserId = "alice",
    };

    private static CreateOperation Request() => new() { OperationId = "txn-1", Payload = "pay 5", Attempt = "attempt-1" };

    private static Decision Approval() => new() { UserId = User, Verdict = Verdict.Approve, AuthType = AuthType.Biom };

    // An operation and what should become of it: the first decision that is allowed, and its time.
    private sealed class Asked(CreateOperation request)
    {
        private OperationState state = Created(request);
        private Decision? first;
        private DateTimeOffset firstTime = Now;
        private DateTimeOffset time = Now;

        public void Decide(Decision decision)
        {
            time += TimeSpan.FromSeconds(1);
            var (outcome, next) = state.Decide(decision, time);

            var allowed = decision.UserId == User
                && (request.AuthType is null || decision.AuthType == request.AuthType)
                && (decision.Payload is null || decision.Payload == request.Payload);
            var isFirst = allowed && first is null;
            (first, firstTime) = isFirst ? (decision, time) : (first, firstTime);
            var repeats = allowed && decision.Verdict == first!.Verdict && decision.AuthType == first.AuthType;
            Assert.Equal(repeats, outcome is OperationOutcome.Done);
            Assert.Equal(isFirst, next != state);
            state = next;
        }

        public void ShouldBeAsTheFirstDecisionLeftIt()
        {
            var untouched = Created(request).ToOperation();
            var expected = first is null ? untouched : untouched with
            {
                Status = first.Verdict is Verdict.Approve ? OperationStatus.Approved : OperationStatus.Denied,
                DecidedAt = firstTime,
                AuthType = first.AuthType,
            };
            Assert.Equal(expected, state.ToOperation());
        }
    }
}
