using System.Diagnostics;
using System.Diagnostics.Metrics;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>What the storage counts.</summary>
internal sealed class StorageMetrics
{
    private readonly Meter meter;
    private readonly Histogram<int> groupSize;
    private readonly Histogram<double> commitTime;

    public StorageMetrics(IMeterFactory meters)
    {
        meter = meters.Recognize();
        groupSize = meter.CreateHistogram(
            "recognize.storage.group.size",
            "{row}",
            "Rows that one commit wrote.",
            advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64, 128] });
        commitTime = meter.CreateHistogram(
            "recognize.storage.commit.duration",
            "s",
            "Time from the statement of a group of writes to the database's answer that they are durable; with error.type: until it failed.",
            advice: Instruments.ShortTimes);
    }

    /// <param name="queued">How many writes wait for the database.</param>
    public void ObserveQueue(Func<int> queued) =>
        meter.CreateObservableGauge("recognize.storage.queue", queued, "{row}", "Writes that wait for the commit before theirs.");

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
}
