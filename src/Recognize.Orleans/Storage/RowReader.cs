using System.Diagnostics;
using System.Threading.Channels;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>
/// Reads rows and ranges of rows in groups: reads that wait while one is in flight share the next. Ranges have their
/// own connection, so that a long one delays no row.
/// </summary>
internal sealed class RowReader : ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    private readonly IRowStore rows;
    private readonly StorageFaults faults;
    private readonly GroupCommitLimits limits;
    private readonly Channel<ReadItem<RowKey, StoredRow?>> single;
    private readonly Channel<ReadItem<RowRange, List<RangeRow>>> ranges;
    private readonly CancellationTokenSource abandoned = new();
    private Task pumps = Task.CompletedTask;

    public RowReader(IRowStore rows, StorageFaults faults, GroupCommitLimits limits)
    {
        this.rows = rows;
        this.faults = faults;
        this.limits = limits;
        single = NewQueue<ReadItem<RowKey, StoredRow?>>(limits);
        ranges = NewQueue<ReadItem<RowRange, List<RangeRow>>>(limits);
    }

    public Task<StoredRow?> ReadAsync(RowKey row, CancellationToken cancellationToken) => AskAsync(single, "read", span => new(row, static () => null) { Span = span }, cancellationToken);

    public Task<List<RangeRow>> ReadAsync(RowRange range, CancellationToken cancellationToken) => AskAsync(ranges, "read range", span => new(range, static () => []) { Span = span }, cancellationToken);

    // At an earlier stage than the storage, so that the storage starts later and stops earlier.
    public void Participate(ISiloLifecycle observer) => observer.Subscribe(
        nameof(RowReader),
        ServiceLifecycleStage.RuntimeInitialize,
        _ =>
        {
            Start();
            return Task.CompletedTask;
        },
        StopAsync);

    public void Start() => pumps = Task.WhenAll(
        Task.Run(() => ReadGroupsAsync(single, rows.ReadAsync, static _ => 1), CancellationToken.None),
        Task.Run(() => ReadGroupsAsync(ranges, rows.ReadRangesAsync, static range => range.Count), CancellationToken.None));

    /// <summary>Answers the waiting reads, accepts no more, and closes the row store.</summary>
    /// <param name="cancellationToken">Ends the wait: reads that are still waiting then fail.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (!single.Writer.TryComplete() || !ranges.Writer.TryComplete())
        {
            await pumps;
            return;
        }

        await using (cancellationToken.Register(abandoned.Cancel))
        {
            await pumps;
        }

        await rows.DisposeAsync();
    }

    public void Dispose() => abandoned.Dispose();

    private static Channel<TItem> NewQueue<TItem>(GroupCommitLimits limits) =>
        Channel.CreateBounded<TItem>(new BoundedChannelOptions(limits.Queue) { SingleReader = true });

    private static async Task<TAnswer> AskAsync<TQuestion, TAnswer>(
        Channel<ReadItem<TQuestion, TAnswer>> queue, string name, Func<Activity?, ReadItem<TQuestion, TAnswer>> ask, CancellationToken cancellationToken)
    {
        using var span = Tracing.StartShare(name);
        var item = ask(span);
        try
        {
            return queue.Writer.TryWrite(item) ? await item.Done.Task.WaitAsync(cancellationToken).ConfigureAwait(false) : throw new StorageBusyException();
        }
        catch (Exception fault)
        {
            span.Fail(fault);
            throw;
        }
    }

    // A group is limited in rows, so that its memory is bounded and nobody waits long behind it.
    private async Task ReadGroupsAsync<TQuestion, TAnswer>(
        Channel<ReadItem<TQuestion, TAnswer>> queue, Func<IReadOnlyList<ReadItem<TQuestion, TAnswer>>, CancellationToken, Task> read, Func<TQuestion, int> mostRows)
    {
        var group = new List<ReadItem<TQuestion, TAnswer>>(limits.Group);
        while (await queue.Reader.WaitToReadAsync())
        {
            for (var rows = 0; group.Count < limits.Group && rows < limits.GroupRows && queue.Reader.TryRead(out var item); rows += mostRows(item.Question))
            {
                group.Add(item);
            }

            await ReadAsync(group, read);
            group.Clear();
        }
    }

    private async Task ReadAsync<TQuestion, TAnswer>(List<ReadItem<TQuestion, TAnswer>> group, Func<IReadOnlyList<ReadItem<TQuestion, TAnswer>>, CancellationToken, Task> read, bool isRepeated = false)
    {
        try
        {
            await read(group, abandoned.Token);
            group.ForEach(item => item.Done.TrySetResult(item.Answer));
        }
        catch (GroupRefusedException) when (group.Count > 1)
        {
            // One read that the database refuses must not fail the others. What the group had found before the refusal
            // is read again.
            foreach (var item in group)
            {
                item.Forget();
                await ReadAsync([item], read);
            }
        }
        catch (Exception fault) when (!isRepeated && faults.IsOfSession(fault))
        {
            // A read may be retried. What was found before the session ended is read again.
            group.ForEach(item => item.Forget());
            await ReadAsync(group, read, isRepeated: true);
        }
        catch (Exception fault)
        {
            group.ForEach(item => item.Done.TrySetException(faults.OfRead(fault)));
        }
    }
}
