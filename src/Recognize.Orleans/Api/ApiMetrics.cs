using System.Diagnostics;
using System.Diagnostics.Metrics;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Api;

/// <summary>What the API counts.</summary>
internal sealed class ApiMetrics : IAlertedCounters
{
    private readonly Counter<long> refusals;
    private readonly Counter<long> faults;
    private readonly Counter<long> cutOffs;
    private readonly UpDownCounter<long> queued;
    private readonly UpDownCounter<long> waiting;
    private readonly Histogram<double> duration;

    public ApiMetrics(IMeterFactory meters)
    {
        var meter = meters.Recognize();
        refusals = meter.CreateCounter<long>("recognize.refusals", "{request}", "Requests that were refused, with a 4xx or for too many waits; error.type is the problem type.");
        faults = meter.CreateCounter<long>("recognize.faults", "{request}", "Requests that a fault of storage, silo or program ended; error.type is its kind.");
        cutOffs = meter.CreateCounter<long>("recognize.cut_offs", "{connection}", "Connections that were closed because their client did not read what it was sent.");
        queued = meter.CreateUpDownCounter<long>("recognize.calls.queued", "{request}", "Calls that wait for earlier calls of their customer to be answered.");
        waiting = meter.CreateUpDownCounter<long>("recognize.waits", "{client}", "Clients that wait for a change or listen to a stream.");
        duration = meter.CreateHistogram(
            "recognize.call.duration",
            "s",
            "Time from the routed request to its answer, without those that waited for a change.",
            advice: Instruments.ShortTimes);
    }

    public void Begin()
    {
        foreach (var kind in (string[])["storage", "busy", "silo", "timeout", "program"])
        {
            faults.Add(0, new KeyValuePair<string, object?>("error.type", kind));
        }

        queued.Add(0);
        waiting.Add(0);
    }

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
}
