using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Recognize.Orleans.Foundation;

/// <summary>The meter <c>Recognize</c>. Tags are small closed sets, never ids.</summary>
internal sealed class Metrics
{
    public const string MeterName = "Recognize";

    private readonly Meter meter;
    private readonly Counter<long> creates;
    private readonly Counter<long> decisions;
    private readonly Counter<long> cancels;
    private readonly Counter<long> removals;
    private readonly Counter<long> refusals;
    private readonly Counter<long> faults;
    private readonly Counter<long> cutOffs;
    private readonly UpDownCounter<long> queued;
    private readonly UpDownCounter<long> waiting;
    private readonly Histogram<double> duration;

    public Metrics(IMeterFactory meters)
    {
        meter = meters.Create(MeterName);
        creates = meter.CreateCounter<long>("recognize.creates", "{operation}", "Creates by outcome.");
        decisions = meter.CreateCounter<long>("recognize.decisions", "{decision}", "Decisions by verdict and outcome.");
        cancels = meter.CreateCounter<long>("recognize.cancels", "{operation}", "Cancels by outcome.");
        removals = meter.CreateCounter<long>("recognize.removals", "{row}", "What was removed for its age, by kind; not what was removed although the database did not answer.");
        refusals = meter.CreateCounter<long>("recognize.refusals", "{request}", "Requests answered with a 4xx, by problem type.");
        faults = meter.CreateCounter<long>("recognize.faults", "{request}", "Requests that a fault of storage, silo or program ended, by kind.");
        cutOffs = meter.CreateCounter<long>("recognize.cut_offs", "{connection}", "Connections that were closed because their client did not read what it was sent.");
        queued = meter.CreateUpDownCounter<long>("recognize.calls.queued", "{request}", "Calls that wait for earlier calls of their customer to be answered.");
        waiting = meter.CreateUpDownCounter<long>("recognize.waits", "{client}", "Clients that wait for a change or listen to a stream.");
        duration = meter.CreateHistogram(
            "recognize.call.duration",
            "s",
            "Time from the routed request to its answer, by call and status; without those that waited for a change.",
            advice: new InstrumentAdvice<double>
            {
                HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
            });
    }

    /// <param name="isDegraded">Whether the shared database is away, or accepts no writes.</param>
    public void ObserveDegraded(Func<bool> isDegraded) =>
        meter.CreateObservableGauge("recognize.degraded", () => isDegraded() ? 1 : 0, "1", "1 while the shared database is away or takes no writes, else 0.");

    public void OperationCreated(OperationOutcome outcome) =>
        creates.Add(1, new KeyValuePair<string, object?>("outcome", Name(outcome)));

    public void OperationDecided(Verdict verdict, OperationOutcome outcome) =>
        decisions.Add(1, new("verdict", verdict is Verdict.Approve ? "approve" : "deny"), new("outcome", Name(outcome)));

    public void OperationCancelled(OperationOutcome outcome) =>
        cancels.Add(1, new KeyValuePair<string, object?>("outcome", Name(outcome)));

    /// <param name="kind"><c>operation</c> (a tombstone is left), <c>tombstone</c> or <c>user</c>.</param>
    public void Removed(string kind) => removals.Add(1, new KeyValuePair<string, object?>("kind", kind));

    /// <param name="type">The problem type without its <c>urn:recognize:</c>.</param>
    public void Refused(string type) => refusals.Add(1, new KeyValuePair<string, object?>("type", type));

    /// <param name="kind"><c>storage</c>, <c>busy</c>, <c>silo</c>, <c>timeout</c> or <c>program</c>.</param>
    public void Fault(string kind) => faults.Add(1, new KeyValuePair<string, object?>("kind", kind));

    public void CutOff() => cutOffs.Add(1);

    /// <param name="change">1 when a call enters the queue of its customer, -1 when it leaves it.</param>
    public void Queued(int change) => queued.Add(change);

    /// <param name="change">1 when a client begins to wait, -1 when it stops.</param>
    public void Waiting(int change) => waiting.Add(change);

    /// <param name="call">The operation id of the OpenAPI document.</param>
    /// <param name="status">The HTTP status.</param>
    /// <param name="started">A timestamp of <see cref="Stopwatch"/>.</param>
    public void Answered(string call, int status, long started) =>
        duration.Record(Stopwatch.GetElapsedTime(started).TotalSeconds, new("call", call), new("status", status));

    private static string Name(OperationOutcome outcome) => outcome switch
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
}
