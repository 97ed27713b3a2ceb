using System.Diagnostics;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>The row store of an engine with a span for each group, and with metrics of those that it writes.</summary>
internal sealed class ObservedRowStore(IRowStore rows, StorageEngine engine, StorageMetrics metrics) : IRowStore
{
    public async Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken)
    {
        var started = Stopwatch.GetTimestamp();
        try
        {
            await SpannedAsync("commit", group.Select(item => item.Span), group.Count, () => rows.WriteAsync(group, until, cancellationToken));
        }
        catch (Exception fault)
        {
            metrics.CommitFailed(fault, started);
            throw;
        }

        metrics.Committed(group.Count(item => item.Outcome is WriteOutcome.Written), started);
    }

    public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken) =>
        SpannedAsync("select", group.Select(item => item.Span), group.Count, () => rows.ReadAsync(group, cancellationToken));

    public Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken) =>
        SpannedAsync("select range", group.Select(item => item.Span), group.Count, () => rows.ReadRangesAsync(group, cancellationToken));

    public ValueTask DisposeAsync() => rows.DisposeAsync();

    private async Task SpannedAsync(string name, IEnumerable<Activity?> callers, int count, Func<Task> statement)
    {
        using var span = Tracing.StartStatement(name, engine, callers, count);
        try
        {
            await statement();
        }
        catch (Exception fault)
        {
            span.Fail(fault);
            throw;
        }
    }
}
