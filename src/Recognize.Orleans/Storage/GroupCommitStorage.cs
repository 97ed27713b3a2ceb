using System.Globalization;
using System.Threading.Channels;
using Orleans.Storage;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>
/// A grain storage that commits in groups: writes that wait while one transaction is in flight share the next one.
/// Under light load no write waits for another. Rows, hashes and versions are those of the stock ADO.NET provider, so
/// either can continue with the rows of the other.
/// </summary>
/// <remarks>
/// No write is acknowledged before its commit has returned. A write whose outcome is unknown fails and is not retried
/// here: the grain that asked for it reads its row again. A full queue refuses at once.
/// </remarks>
internal sealed class GroupCommitStorage : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    // How often a single write is retried after another writer was faster. That writer has committed each time, so at
    // worst two writers take turns.
    private const int OvertakenAtMost = 5;

    private readonly IRowStore rows;
    private readonly RowReader reader;
    private readonly IGrainStorageSerializer serializer;
    private readonly StorageFaults faults;
    private readonly GroupCommitLimits limits;
    private readonly WriteGuard guard;
    private readonly Channel<WriteItem> writes;
    private readonly CancellationTokenSource abandoned = new();
    private long queuedBytes;
    private Task pump = Task.CompletedTask;

    /// <param name="rows">The row store of the engine.</param>
    /// <param name="reader">Reads the same rows, and stops after this storage.</param>
    /// <param name="serializer">How states are stored.</param>
    /// <param name="faults">Turns faults of the database into exceptions for callers.</param>
    /// <param name="limits">How much work is accepted at once.</param>
    /// <param name="guard">
    /// Makes the database refuse a statement that is late or comes from a silo that is no longer a member.
    /// </param>
    public GroupCommitStorage(IRowStore rows, RowReader reader, IGrainStorageSerializer serializer, StorageFaults faults, GroupCommitLimits limits, WriteGuard guard)
    {
        this.rows = rows;
        this.reader = reader;
        this.serializer = serializer;
        this.faults = faults;
        this.limits = limits;
        this.guard = guard;
        writes = Channel.CreateBounded<WriteItem>(new BoundedChannelOptions(limits.Queue) { SingleReader = true });
    }

    public void Participate(ISiloLifecycle observer) => observer.Subscribe(
        nameof(GroupCommitStorage),
        ServiceLifecycleStage.ApplicationServices,
        _ =>
        {
            Start();
            return Task.CompletedTask;
        },
        StopAsync);

    public void Start() => pump = Task.Run(WriteGroupsAsync, CancellationToken.None);

    /// <summary>Writes what is queued, because callers wait for it, and accepts nothing more.</summary>
    /// <param name="cancellationToken">Ends the wait: what is still queued then fails, with an unknown outcome.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (!writes.Writer.TryComplete())
        {
            await pump;
            return;
        }

        await using (cancellationToken.Register(abandoned.Cancel))
        {
            await pump;
        }
    }

    /// <summary>How many writes wait for a group.</summary>
    public int Queued => writes.Reader.Count;

    public void Dispose() => abandoned.Dispose();

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ReadStateAsync(stateName, grainId, grainState, CancellationToken.None);

    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        WriteStateAsync(stateName, grainId, grainState, CancellationToken.None);

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ClearStateAsync(stateName, grainId, grainState, CancellationToken.None);

    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        var row = await reader.ReadAsync(new RowKey(stateName, grainId), cancellationToken).ConfigureAwait(false);
        grainState.ETag = row?.Version.ToString(CultureInfo.InvariantCulture);
        grainState.RecordExists = row is { Payload: not null };
        grainState.State = row is { Payload: { } payload } ? serializer.Deserialize<T>(new(payload))! : Activator.CreateInstance<T>();
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        var row = new RowKey(stateName, grainId);
        var version = VersionOf(grainState);
        var keys = grainState.State is IIndexedState indexed ? indexed.Keys : default;
        var write = new RowWrite(row, serializer.Serialize(grainState.State).ToArray(), version, keys);
        await WriteAsync(write, cancellationToken).ConfigureAwait(false);
        (grainState.ETag, grainState.RecordExists) = (write.Next.ToString(CultureInfo.InvariantCulture), true);
    }

    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        if (grainState.ETag is not null)
        {
            await WriteAsync(new(new(stateName, grainId), Payload: null, VersionOf(grainState)), cancellationToken).ConfigureAwait(false);
            grainState.ETag = null;
        }

        grainState.RecordExists = false;
        grainState.State = Activator.CreateInstance<T>();
    }

    private static int? VersionOf<T>(IGrainState<T> state) => state.ETag is null ? null : int.Parse(state.ETag, CultureInfo.InvariantCulture);

    private async Task WriteAsync(RowWrite write, CancellationToken cancellationToken)
    {
        using var span = Tracing.StartShare("write");
        try
        {
            var item = new WriteItem(write, cancellationToken) { Span = span };
            if (Interlocked.Add(ref queuedBytes, item.Bytes) > limits.QueuedBytes || !writes.Writer.TryWrite(item))
            {
                Interlocked.Add(ref queuedBytes, -item.Bytes);
                throw new StorageBusyException();
            }

            // In the caller's turn each await on the way back would be scheduled anew.
            if (await item.Done.Task.ConfigureAwait(false) is not WriteOutcome.Written and var refusal)
            {
                throw FaultOf(refusal, write);
            }
        }
        catch (Exception fault)
        {
            span.Fail(fault);
            throw;
        }
    }

    private Exception FaultOf(WriteOutcome refusal, RowWrite write)
    {
        switch (refusal)
        {
            case WriteOutcome.Conflicts:
                return new InconsistentStateException($"The row of {write.Row.Type} {write.Row.Key} is not at version {write.Version?.ToString(CultureInfo.InvariantCulture) ?? "none"} any more.");
            case WriteOutcome.TooLate:
                return StorageFaultException.Refused("The statement was too long on its way.");
            case WriteOutcome.Fenced:
                guard.Refused();
                return new SiloFencedException();
            default:
                return new InvalidOperationException($"The database told no outcome of the write to {write.Row.Type}.");
        }
    }

    private async Task WriteGroupsAsync()
    {
        var group = new List<WriteItem>(limits.Group);
        var touched = new HashSet<RowKey>();
        while (await writes.Reader.WaitToReadAsync())
        {
            // One statement cannot tell two writes of one row apart, so the later one goes with the next group.
            while (group.Count < limits.Group && writes.Reader.TryPeek(out var item) && touched.Add(item.Write.Row))
            {
                writes.Reader.TryRead(out _);
                Interlocked.Add(ref queuedBytes, -item.Bytes);
                if (item.IsTooOld)
                {
                    item.Done.SetException(new StorageBusyException());
                }
                else if (!item.IsTakenBack())
                {
                    group.Add(item);
                }
            }

            if (group.Count > 0)
            {
                await WriteAsync(group);
            }

            group.Clear();
            touched.Clear();
        }
    }

    // If the clock cannot be measured, the refusal still stands: the group was not written.
    private async Task<bool> TryMeasureAgainAsync()
    {
        try
        {
            return await guard.TryMeasureAgainAsync(abandoned.Token);
        }
        catch (Exception fault) when (faults.OfRead(fault) is StorageFaultException)
        {
            return false;
        }
    }

    private async Task WriteAsync(List<WriteItem> group, int overtaken = 0)
    {
        try
        {
            await rows.WriteAsync(group, guard.Until, abandoned.Token);
            if (group.Exists(item => item.Outcome is WriteOutcome.TooLate) && await TryMeasureAgainAsync())
            {
                await rows.WriteAsync(group, guard.Until, abandoned.Token);
            }
        }
        catch (GroupRefusedException refusal) when (group.Count > 1 || (refusal.IsOvertaken && overtaken < OvertakenAtMost))
        {
            // Each item is retried on its own, so that one bad row fails no other.
            foreach (var item in group)
            {
                await WriteAsync([item], overtaken + 1);
            }

            return;
        }
        catch (Exception fault)
        {
            // Each item gets its own exception, because several callers throw theirs at the same time.
            group.ForEach(item => item.Done.SetException(faults.OfWrite(fault)));
            return;
        }

        group.ForEach(item => item.Done.SetResult(item.Outcome));
    }
}

/// <summary>How much work the storage accepts at once.</summary>
internal sealed record GroupCommitLimits
{
    /// <summary>Rows in one transaction, and rows or ranges in one read.</summary>
    public int Group { get; init; } = 128;

    /// <summary>Rows that the ranges of one read may find. The last range may exceed it.</summary>
    public int GroupRows { get; init; } = 200;

    /// <summary>How many writes may wait, and how many reads; one more is refused.</summary>
    public int Queue { get; init; } = 16_384;

    /// <summary>Bytes of state in the waiting writes.</summary>
    public long QueuedBytes { get; init; } = 64 * 1024 * 1024;
}

/// <summary>
/// What the database checks in addition to the row's version: that a statement is not late, and that its silo is still
/// a member of the cluster.
/// </summary>
internal class WriteGuard
{
    /// <summary>Checks nothing: for a database that one process owns, and for tests.</summary>
    public static readonly WriteGuard None = new();

    /// <summary>The time, by the database's clock, before which a statement that is sent now must begin.</summary>
    public virtual DateTime Until => DateTime.MaxValue;

    /// <summary>Measures the database's clock again, because a statement was refused as late.</summary>
    /// <returns>Whether <see cref="Until"/> has changed.</returns>
    public virtual Task<bool> TryMeasureAgainAsync(CancellationToken cancellationToken) => Task.FromResult(false);

    /// <summary>
    /// Called when the database has refused a write because this silo is no longer a member of its cluster.
    /// </summary>
    public virtual void Refused()
    {
    }
}
