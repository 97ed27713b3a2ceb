using Xunit;

namespace Recognize.Orleans.FaultInjection;

// Histories made by hand: each rule of the checker finds what breaks it, and lets pass what is just allowed.
public sealed class AnswerCheckerTests
{
    private const string User = "A1";
    private const string Id = "txn-1";

    [Fact]
    public void A_journey_without_faults_is_without_faults() => Passes(
        Created(0, 1),
        Listed(7, 8, Id),
        Ended(Call.Approve, "approved", 9, 10),
        Read("approved", 10, 11),
        Listed(16, 17),
        History("approved", 16, 17),
        View(17, 18, ("approved", 1)));

    [Fact]
    public void Two_ends_are_one_too_many() =>
        Fails("txn-1: final is not final: expired said Read on node-1, sent at 6.000 s and answered 200 at 7.000 s; approved said View", Created(0, 1), Read("expired", 6, 7), View(60, 61, ("approved", 1)));

    [Fact]
    public void A_decision_that_was_answered_200_is_an_end() =>
        Fails("final is not final", Created(0, 1), Ended(Call.Deny, "denied", 2, 3), Read("cancelled", 2, 3), View(60, 61, ("denied", 1)));

    [Fact]
    public void A_refusal_tells_an_end() =>
        Fails("final is not final", Created(0, 1), Ended(Call.Approve, "approved", 2, 3), Ended(Call.Cancel, "expired", 4, 5, status: 409), View(60, 61, ("approved", 1)));

    [Fact]
    public void Pending_after_an_end_is_allowed_for_five_seconds_and_a_half() =>
        Passes(Created(0, 1), Ended(Call.Approve, "approved", 2, 3), Read("pending", 8.5, 20), View(60, 61, ("approved", 1)));

    [Fact]
    public void Pending_longer_after_an_end_is_a_fault() =>
        Fails("txn-1: pending after its end: Read on node-1, sent at 8.600 s", Created(0, 1), Ended(Call.Approve, "approved", 2, 3), Read("pending", 8.6, 8.7), View(60, 61, ("approved", 1)));

    [Fact]
    public void On_a_list_longer_after_an_end_is_a_fault() =>
        Fails("pending after its end: List", Created(0, 1), Ended(Call.Approve, "approved", 2, 3), Listed(8.6, 8.7, Id), View(60, 61, ("approved", 1)));

    [Fact]
    public void An_end_that_was_told_and_is_not_stored_is_a_fault() =>
        Fails("pending after its end: View", Created(0, 1), Ended(Call.Approve, "approved", 2, 3), View(3.1, 3.2, ("pending", 1)));

    [Fact]
    public void Two_attempts_that_create_one_operation_are_a_fault() =>
        Fails("txn-1: 2 attempts created it", Created(0, 1), Created(0, 1, "second"), View(60, 61, ("pending", 1)));

    [Fact]
    public void An_attempt_that_is_sent_again_is_one() => Passes(Created(0, 1), Created(2, 3), View(60, 61, ("pending", 1)));

    [Fact]
    public void What_was_answered_200_and_is_not_stored_is_a_fault() => Fails("txn-1: missing: View", Created(0, 1), View(60, 61));

    [Fact]
    public void What_is_stored_twice_is_a_fault() => Fails("txn-1: it is there 2 times: View", Created(0, 1), View(60, 61, ("pending", 1), ("pending", 2)));

    [Fact]
    public void A_number_that_two_have_is_a_fault() => Fails(
        "txn-1 and txn-2 have one number, 7.",
        View(60, 61) with { Told = [new(Id, "pending", Number: 7, User: User), new("txn-2", "pending", Number: 7, User: User)] });

    [Fact]
    public void A_list_may_lack_what_was_shown_five_seconds_and_a_half_before() => Passes(Created(0, 1), Listed(6.5, 7), View(60, 61, ("pending", 1)));

    [Fact]
    public void A_list_that_lacks_what_was_shown_longer_before_is_a_fault() =>
        Fails("txn-1: missing: List on node-1, sent at 6.600 s", Created(0, 1), Listed(6.6, 7), View(60, 61, ("pending", 1)));

    [Fact]
    public void A_refused_second_create_shows_that_the_operation_exists() => Fails(
        "txn-1: missing: List",
        Created(0, 1, status: 503) with { Told = [] },
        Created(2, 3, "second", status: 409),
        Listed(8.6, 9),
        View(60, 61, ("pending", 1)));

    [Fact]
    public void A_list_may_lack_what_somebody_tried_to_end() =>
        Passes(Created(0, 1), Ended(Call.Approve, null, 8, 9, status: 503) with { Told = [] }, Listed(7.5, 8.1), View(60, 61, ("pending", 1)));

    [Fact]
    public void A_list_may_lack_what_has_come_to_its_deadline_and_not_what_has_not()
    {
        var created = Created(0, 1) with { Lifetime = TimeSpan.FromSeconds(20) };
        Passes(created, Listed(19, 20.1), View(60, 61, ("pending", 1)));
        Fails("missing: List", created, Listed(18, 19.9), View(60, 61, ("pending", 1)));
        Assert.Empty(AnswerChecker.ContradictionsIn([created, Listed(18, 19.9), View(60, 61, ("pending", 1))], deadlinesHold: false));
    }

    [Fact]
    public void A_whole_history_that_lacks_what_was_shown_is_a_fault_and_a_first_page_is_none()
    {
        var history = History("approved", 30, 31) with { Told = [] };
        Fails("txn-1: missing: History", Created(0, 1), history, View(60, 61, ("pending", 1)));
        Passes(Created(0, 1), history with { IsComplete = false }, View(60, 61, ("pending", 1)));
    }

    [Fact]
    public void What_was_shown_and_is_not_found_is_a_fault()
    {
        var lost = new Observation(Call.Read, "node-1", User, Id, At(6.6), At(7), 404) { Told = [new(Id, null, Exists: false)] };
        Fails("txn-1: not found: Read", Created(0, 1), lost, View(60, 61, ("pending", 1)));
        Passes(Created(0, 1), lost with { Sent = At(6.4) }, View(60, 61, ("pending", 1)));
    }

    [Fact]
    public void An_operation_on_the_list_of_another_user_is_a_fault() =>
        Fails("txn-1: it is A1's and was told as another's: List", Created(0, 1), Listed(2, 3, Id) with { User = "B2" }, View(60, 61, ("pending", 1)));

    [Fact]
    public void A_fault_of_the_program_is_a_fault() => Fails("nobody may be answered so: Create on node-1", Created(0, 1, status: 500) with { Told = [] });

    [Fact]
    public void An_outage_that_says_so_is_none() => Passes(Created(0, 1, status: 503) with { Told = [] }, Created(0, 1, status: 0) with { Told = [] });

    private static void Passes(params Observation[] answers) => Assert.Empty(AnswerChecker.ContradictionsIn(answers));

    private static void Fails(string sentence, params Observation[] answers) => Assert.Contains(sentence, Assert.Single(AnswerChecker.ContradictionsIn(answers)), StringComparison.Ordinal);

    private static Observation Created(double sent, double answered, string attempt = "first", int status = 200) =>
        new(Call.Create, "node-1", User, Id, At(sent), At(answered), status) { Attempt = attempt, Told = [new(Id, null)] };

    private static Observation Ended(Call call, string? end, double sent, double answered, int status = 200) =>
        new(call, "node-1", User, Id, At(sent), At(answered), status) { Told = [new(Id, end)] };

    private static Observation Read(string status, double sent, double answered) =>
        new(Call.Read, "node-1", User, Id, At(sent), At(answered), 200) { Told = [new(Id, status, Number: 1, User: User)] };

    private static Observation Listed(double sent, double answered, params string[] ids) =>
        new(Call.List, "node-1", User, null, At(sent), At(answered), 200) { Told = [.. ids.Select(id => new Told(id, "pending"))] };

    private static Observation History(string status, double sent, double answered) =>
        new(Call.History, "node-1", User, null, At(sent), At(answered), 200) { Told = [new(Id, status, Number: 1, User: User)] };

    private static Observation View(double sent, double answered, params (string Status, long Number)[] rows) =>
        new(Call.View, "the database", "", null, At(sent), At(answered), 200) { Told = [.. rows.Select(row => new Told(Id, row.Status, Number: row.Number, User: User))] };

    private static TimeSpan At(double seconds) => TimeSpan.FromSeconds(seconds);
}
