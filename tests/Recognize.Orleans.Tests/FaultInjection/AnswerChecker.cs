
namespace Recognize.Orleans.FaultInjection;

/// <summary>Says in sentences which answers break the promises, whatever happened between them.</summary>
/// <remarks>
/// An answer holds for some moment between request and answer, nobody knows which: only what is wrong for every such moment is a fault.
/// </remarks>
internal static class AnswerChecker
{
    /// <summary>How long an activation that was replaced may tell what it remembers, and how exactly that is measured here.</summary>
    public static readonly TimeSpan Bound = TimeSpan.FromSeconds(5.5);

    // A refusal with a reason, an answer, or an outage that says so.
    private static readonly int[] Expected = [0, 200, 304, 404, 409, 503];

    /// <param name="answers">All of them; the last ones, after all faults are over, ask for everything.</param>
    /// <param name="deadlinesHold">False when clocks were set meanwhile: a deadline may then be any time after the create.</param>
    public static IReadOnlyList<string> ContradictionsIn(IReadOnlyCollection<Observation> answers, bool deadlinesHold = true)
    {
        var about = answers
            .SelectMany(answer => answer.Told, (answer, told) => (answer, told))
            .ToLookup(said => said.told.Id, said => said, StringComparer.Ordinal);
        var calls = answers.Where(answer => answer.Id is not null).ToLookup(answer => answer.Id!, StringComparer.Ordinal);
        var overviews = answers.Where(answer => answer is { Call: Call.List or Call.History, Status: 200 or 304, IsComplete: true }).ToLookup(answer => answer.User, StringComparer.Ordinal);
        var views = answers.Where(answer => answer.Call is Call.View).ToList();
        var operations = about.Select(operation => new Operation(operation.Key, [.. operation], [.. calls[operation.Key]], deadlinesHold)).ToList();
        return
        [
            .. answers.Where(answer => !Expected.Contains(answer.Status)).Select(answer => $"{answer.Id ?? answer.User}: nobody may be answered so: {answer}."),
            .. answers.SelectMany(ToldTwice),
            .. views.SelectMany(NumbersGivenTwice),
            .. operations.SelectMany(operation => operation.DifferentEnds()),
            .. operations.SelectMany(operation => operation.PendingAfterItsEnd()),
            .. operations.SelectMany(operation => operation.CreatedTwice()),
            .. operations.SelectMany(operation => operation.NotFound()),
            .. operations.SelectMany(operation => operation.WithAnotherUser()),
            .. operations.SelectMany(operation => operation.MissingIn(views)),
            .. operations.SelectMany(operation => operation.MissingIn(overviews[operation.User])),
        ];
    }

    private static IEnumerable<string> ToldTwice(Observation answer) => answer.Told
        .CountBy(told => told.Id, StringComparer.Ordinal)
        .Where(one => one.Value > 1)
        .Select(one => $"{one.Key}: it is there {one.Value} times: {answer}.");

    private static IEnumerable<string> NumbersGivenTwice(Observation view) => view.Told
        .GroupBy(told => told.Number)
        .Where(same => same.Key is not null && same.DistinctBy(told => told.Id).Count() > 1)
        .Select(same => $"{string.Join(" and ", same.Select(told => told.Id))} have one number, {same.Key}.");

    private sealed class Operation(string id, (Observation Answer, Told Told)[] said, Observation[] calls, bool deadlinesHold)
    {
        public string User { get; } = calls.Select(call => call.User).Concat(said.Select(one => one.Told.User)).FirstOrDefault(user => user is not null) ?? said[0].Answer.User;

        private IEnumerable<(Observation Answer, Told Told)> Ends => said.Where(one => one.Told.Status is not (null or "pending"));

        // The first moment at which everybody had to know of it.
        private Observation? Shown { get; } = said.Where(one => one.Told.Exists).Select(one => one.Answer).MinBy(answer => answer.Answered);

        // Before this no decision, no cancel and no deadline can have ended it.
        private TimeSpan FirstPossibleEnd => calls
            .Select(call => call switch
            {
                { Call: Call.Approve or Call.Deny or Call.Cancel } => call.Sent,
                { Call: Call.Create, Lifetime: { } lifetime } => call.Sent + (deadlinesHold ? lifetime : TimeSpan.Zero),
                _ => TimeSpan.MaxValue,
            })
            .Append(TimeSpan.MaxValue)
            .Min();

        public IEnumerable<string> DifferentEnds()
        {
            var ends = Ends.GroupBy(end => end.Told.Status).Select(end => end.MinBy(one => one.Answer.Answered)).ToList();
            return ends.Count < 2 ? [] : [$"{id}: final is not final: {string.Join("; ", ends.Select(end => $"{end.Told.Status} said {end.Answer}"))}."];
        }

        public IEnumerable<string> PendingAfterItsEnd()
        {
            if (Ends.Select(end => end.Answer).MinBy(answer => answer.Answered) is not { } first)
            {
                return [];
            }

            return said
                .Where(one => one.Told.Status is "pending" && one.Answer.Sent > first.Answered + (one.Answer.Call is Call.View ? TimeSpan.Zero : Bound))
                .Take(1)
                .Select(one => $"{id}: pending after its end: {one.Answer}, its end by {first}.");
        }

        public IEnumerable<string> CreatedTwice()
        {
            var created = calls.Where(call => call is { Call: Call.Create, Status: 200 }).DistinctBy(call => call.Attempt).ToList();
            return created.Count < 2 ? [] : [$"{id}: {created.Count} attempts created it: {string.Join("; ", created)}."];
        }

        public IEnumerable<string> NotFound() => said
            .Where(one => !one.Told.Exists && one.Answer.Sent > Shown?.Answered + Bound)
            .Take(1)
            .Select(one => $"{id}: not found: {one.Answer}, shown by {Shown}.");

        public IEnumerable<string> WithAnotherUser() => said
            .Where(one => (one.Told.User is { } user && user != User) || (one.Answer is { Call: Call.List or Call.History } && one.Answer.User != User))
            .Take(1)
            .Select(one => $"{id}: it is {User}'s and was told as another's: {one.Answer}.");

        public IEnumerable<string> MissingIn(IEnumerable<Observation> answers) => answers
            .Where(answer => answer.Sent > Shown?.Answered + (answer.Call is Call.View ? TimeSpan.Zero : Bound))
            .Where(answer => answer.Call is not Call.List || answer.Answered < FirstPossibleEnd)
            .Where(answer => !answer.Told.Any(told => told.Id == id))
            .Take(1)
            .Select(answer => $"{id}: missing: {answer}, shown by {Shown}.");
    }
}
