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
    private readonly Histogram<double> decisionTime;
    private readonly Histogram<int> groupSize;
    private readonly Histogram<double> commitTime;

    public Metrics(IMeterFactory meters)
    {
        meter = meters.Create(MeterName);
        creates = meter.CreateCounter<long>("recognize.creates", "{operation}", "Creates by outcome.");
        decisions = meter.CreateCounter<long>("recognize.decisions", "{decision}", "Decisions by verdict and outcome.");
        cancels = meter.CreateCounter<long>("recognize.cancels", "{operation}", "Cancels by outcome.");
        removals = meter.CreateCounter<long>("recognize.removals", "{row}", "What was removed for its age, by kind; not what was removed although the database did not answer.");
        refusals = meter.CreateCounter<long>("recognize.refusals", "{request}", "Requests that were refused, with a 4xx or for too many waits; error.type is the problem type.");
        faults = meter.CreateCounter<long>("recognize.faults", "{request}", "Requests that a fault of storage, silo or program ended; error.type is its kind.");
        cutOffs = meter.CreateCounter<long>("recognize.cut_offs", "{connection}", "Connections that were closed because their client did not read what it was sent.");
        queued = meter.CreateUpDownCounter<long>("recognize.calls.queued", "{request}", "Calls that wait for earlier calls of their customer to be answered.");
        waiting = meter.CreateUpDownCounter<long>("recognize.waits", "{client}", "Clients that wait for a change or listen to a stream.");
        duration = meter.CreateHistogram(
            "recognize.call.duration",
            "s",
            "Time from the routed request to its answer, without those that waited for a change.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortTimes });
        decisionTime = meter.CreateHistogram(
            "recognize.operation.duration",
            "s",
            "Time from the create of an operation to its end, by how it ended; an expired one ends at its deadline and is counted when it is next asked for.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 21_600, 86_400] });
        groupSize = meter.CreateHistogram(
            "recognize.storage.group.size",
            "{row}",
            "Rows that one commit wrote.",
            advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64, 128] });
        commitTime = meter.CreateHistogram(
            "recognize.storage.commit.duration",
            "s",
            "Time from the statement of a group of writes to the database's answer that they are durable; with error.type: until it failed.",
            advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = ShortTimes });
    }

    private static IReadOnlyList<double> ShortTimes => [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

    /// <summary>Shows the counters that alerts look at as zero, so that the first event is an increase.</summary>
    public void Begin()
    {
        creates.Add(0, new KeyValuePair<string, object?>("outcome", NameOf(OperationOutcome.Done)));
        decisions.Add(0, new("verdict", "approve"), new("outcome", NameOf(OperationOutcome.Done)));
        decisions.Add(0, new("verdict", "deny"), new("outcome", NameOf(OperationOutcome.Done)));
        foreach (var kind in (string[])["storage", "busy", "silo", "timeout", "program"])
        {
            faults.Add(0, new KeyValuePair<string, object?>("error.type", kind));
        }

        queued.Add(0);
        waiting.Add(0);
    }

    /// <param name="isDegraded">Whether the shared database is away, or accepts no writes.</param>
    public void ObserveDegraded(Func<bool> isDegraded) =>
        meter.CreateObservableGauge("recognize.degraded", () => isDegraded() ? 1 : 0, "1", "1 while the shared database is away or takes no writes, else 0.");

    /// <param name="queued">How many writes wait for the database.</param>
    public void ObserveQueue(Func<int> queued) =>
        meter.CreateObservableGauge("recognize.storage.queue", queued, "{row}", "Writes that wait for the commit before theirs.");

    /// <param name="pending">How many operations are pending in the service; null: another silo counts them.</param>
    public void ObservePending(Func<long?> pending) =>
        meter.CreateObservableGauge("recognize.pending", () => Known(pending()), "{operation}", "Operations that are pending in the whole service, overdue ones included; told by one of its silos.");

    /// <param name="lag">The time since everything that was due was removed; null: another silo removes.</param>
    public void ObserveRetention(Func<TimeSpan?> lag) =>
        meter.CreateObservableGauge("recognize.retention.lag", () => Known(lag()?.TotalSeconds), "s", "Time since the last sweep that removed everything that was due; told by the silo that sweeps.");

    /// <param name="outcome">How it ended.</param>
    /// <param name="time">From its create to its end.</param>
    public void OperationEnded(OperationStatus outcome, TimeSpan time) =>
        decisionTime.Record(time.TotalSeconds, new KeyValuePair<string, object?>("outcome", outcome switch
        {
            OperationStatus.Approved => "approved",
            OperationStatus.Denied => "denied",
            OperationStatus.Cancelled => "cancelled",
            OperationStatus.Expired => "expired",
            _ => "other",
        }));

    /// <param name="rows">The rows that a group has written.</param>
    /// <param name="started">A timestamp of <see cref="Stopwatch"/>.</param>
    public void Committed(int rows, long started)
    {
        groupSize.Record(rows);
        commitTime.Record(Stopwatch.GetElapsedTime(started).TotalSeconds);
    }

    /// <param name="fault">What the database answered, or that it did not.</param>
    /// <param name="started">A timestamp of <see cref="Stopwatch"/>.</param>
    public void CommitFailed(Exception fault, long started) =>
        commitTime.Record(Stopwatch.GetElapsedTime(started).TotalSeconds, new KeyValuePair<string, object?>("error.type", fault.GetType().Name));

    public void OperationCreated(OperationOutcome outcome) =>
        creates.Add(1, new KeyValuePair<string, object?>("outcome", NameOf(outcome)));

    public void OperationDecided(Verdict verdict, OperationOutcome outcome) =>
        decisions.Add(1, new("verdict", verdict is Verdict.Approve ? "approve" : "deny"), new("outcome", NameOf(outcome)));

    public void OperationCancelled(OperationOutcome outcome) =>
        cancels.Add(1, new KeyValuePair<string, object?>("outcome", NameOf(outcome)));

    /// <param name="kind"><c>operation</c> (a tombstone is left), <c>tombstone</c> or <c>user</c>.</param>
    public void Removed(string kind) => removals.Add(1, new KeyValuePair<string, object?>("kind", kind));

    /// <param name="type">The problem type without its <c>urn:recognize:</c>.</param>
    public void Refused(string type) => refusals.Add(1, new KeyValuePair<string, object?>("error.type", type));

    /// <param name="kind"><c>storage</c>, <c>busy</c>, <c>silo</c>, <c>timeout</c> or <c>program</c>.</param>
    public void Fault(string kind) => faults.Add(1, new KeyValuePair<string, object?>("error.type", kind));

    public void CutOff() => cutOffs.Add(1);

    /// <param name="change">1 when a call enters the queue of its customer, -1 when it leaves it.</param>
    public void Queued(int change) => queued.Add(change);

    /// <param name="change">1 when a client begins to wait, -1 when it stops.</param>
    public void Waiting(int change) => waiting.Add(change);

    /// <param name="method">The HTTP method.</param>
    /// <param name="route">The route, with placeholders for ids.</param>
    /// <param name="status">The HTTP status.</param>
    /// <param name="started">A timestamp of <see cref="Stopwatch"/>.</param>
    public void Answered(string method, string route, int status, long started) => duration.Record(
        Stopwatch.GetElapsedTime(started).TotalSeconds,
        new("http.request.method", KnownMethod(method)),
        new("http.route", route),
        new("http.response.status_code", status));

    // Clients choose the text, and its case.
    private static string KnownMethod(string method) =>
        HttpMethods.IsGet(method) ? HttpMethods.Get
        : HttpMethods.IsPost(method) ? HttpMethods.Post
        : HttpMethods.IsHead(method) ? HttpMethods.Head
        : "_OTHER";

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

    private static IEnumerable<Measurement<T>> Known<T>(T? value)
        where T : struct => value is { } known ? [new(known)] : [];
}
