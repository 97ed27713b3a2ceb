using System.Diagnostics.Metrics;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Operations;

/// <summary>What is counted of operations.</summary>
internal sealed class OperationMetrics : IAlertedCounters
{
    private readonly Meter meter;
    private readonly Counter<long> creates;
    private readonly Counter<long> decisions;
    private readonly Counter<long> cancels;
    private readonly Counter<long> removals;
    private readonly Histogram<double> decisionTime;

    public OperationMetrics(IMeterFactory meters)
    {
        meter = meters.Recognize();
        creates = meter.CreateCounter<long>("recognize.creates", "{operation}", "Creates by outcome.");
        decisions = meter.CreateCounter<long>("recognize.decisions", "{decision}", "Decisions by verdict and outcome.");
        cancels = meter.CreateCounter<long>("recognize.cancels", "{operation}", "Cancels by outcome.");
        removals = meter.CreateCounter<long>("recognize.removals", "{row}", "What was removed for its age, by kind; not what was removed although the database did not answer.");
        decisionTime = meter.CreateHistogram(
            "recognize.operation.duration",
            "s",
            "Time from the create of an operation to its end, by how it ended; an expired one ends at its deadline and is counted when it is next asked for.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 21_600, 86_400] });
    }

    public void Begin()
    {
        creates.Add(0, OutcomeOf(OperationOutcome.Done));
        decisions.Add(0, new("verdict", "approve"), OutcomeOf(OperationOutcome.Done));
        decisions.Add(0, new("verdict", "deny"), OutcomeOf(OperationOutcome.Done));
    }

    /// <param name="pending">How many operations are pending in the service; null: another silo counts them.</param>
    public Instrument ObservePending(Func<long?> pending) =>
        meter.Observe("recognize.pending", "{operation}", "Operations that are pending in the whole service, overdue ones included; told by one of its silos.", pending);

    /// <param name="lag">The seconds since everything that was due was removed; null: another silo removes.</param>
    public void ObserveRetention(Func<double?> lag) =>
        meter.Observe("recognize.retention.lag", "s", "Time since the last sweep that removed everything that was due; told by the silo that sweeps.", lag);

    public void Created(OperationOutcome outcome) => creates.Add(1, OutcomeOf(outcome));

    public void Decided(Verdict verdict, OperationOutcome outcome) =>
        decisions.Add(1, new("verdict", verdict is Verdict.Approve ? "approve" : "deny"), OutcomeOf(outcome));

    public void Cancelled(OperationOutcome outcome) => cancels.Add(1, OutcomeOf(outcome));

    /// <param name="outcome">How it ended.</param>
    /// <param name="time">From its create to its end.</param>
    public void Ended(OperationStatus outcome, TimeSpan time) =>
        decisionTime.Record(time.TotalSeconds, new KeyValuePair<string, object?>("outcome", OperationBody.NameOf(outcome)));

    /// <param name="kind"><c>operation</c> (a tombstone is left) or <c>tombstone</c>.</param>
    public void Removed(string kind) => removals.Add(1, new KeyValuePair<string, object?>("kind", kind));

    /// <summary>The name of an outcome in tags and in the audit log.</summary>
    public static string NameOf(OperationOutcome outcome) => outcome switch
    {
        OperationOutcome.Done => "done",
        OperationOutcome.Duplicate => "duplicate",
        OperationOutcome.IdempotencyKeyReused => "idempotency-key-reused",
        OperationOutcome.PendingLimitReached => "pending-limit-reached",
        OperationOutcome.NotFound => "not-found",
        OperationOutcome.AlreadyDecided => "already-decided",
        OperationOutcome.WrongUser => "wrong-user",
        OperationOutcome.AuthTypeNotAllowed => "auth-type-not-allowed",
        OperationOutcome.PayloadMismatch => "payload-mismatch",
        OperationOutcome.Expired => "expired",
        OperationOutcome.Cancelled => "cancelled",
        OperationOutcome.AlreadyApproved => "already-approved",
        OperationOutcome.AlreadyDenied => "already-denied",
        OperationOutcome.PendingBytesReached => "pending-bytes-reached",
        _ => "other",
    };

    private static KeyValuePair<string, object?> OutcomeOf(OperationOutcome outcome) => new("outcome", NameOf(outcome));
}
