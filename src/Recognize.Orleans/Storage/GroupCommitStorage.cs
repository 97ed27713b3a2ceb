using System.Globalization;
using System.Threading.Channels;
using Orleans.Configuration;
using Orleans.Storage;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Users;

namespace Recognize.Orleans.Storage;

/// <summary>
/// A grain storage that commits in groups: all writes that wait while one transaction is on its way share the next one. Under
/// light load a write waits for nobody. Rows, hashes and versions are those of the stock ADO.NET provider, so that
/// either can go on with the other's rows.
/// </summary>
/// <remarks>
/// Nothing is acknowledged before its commit has returned. A write whose commit may or may not have happened fails and is not
/// repeated here: the grain that asked for it drops its state. A full queue refuses at once.
/// </remarks>
internal sealed class GroupCommitStorage : IPairedGrainStorage, ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    // A user's row may be deleted and written anew. It begins with the seconds since then for a version: an earlier row, written
    // less than once a second, never came so far, so that an activation that still knows it (on a silo that was cut off, or
    // frozen) cannot write over this one. As the stock provider's statement does.
    private static readonly DateTimeOffset Epoch = new(2020, 1, 1, 0, 0, 0, TimeSpan.Zero);

    // Each time another writer has committed in between, so that two writers take turns at worst.
    private const int OvertakenAtMost = 5;

    private readonly GroupCommitLimits limits;
    private readonly IRows rows;
    private readonly IGrainStorageSerializer serializer;
    private readonly TimeProvider clock;
    private readonly Channel<WriteItem> writes;
    private readonly Channel<ReadItem> reads;
    private readonly CancellationTokenSource abandoned = new();
    private long queuedBytes;
    private Task pumps = Task.CompletedTask;

    public GroupCommitStorage(Database database, ClusterOptions cluster, IGrainStorageSerializer serializer, GroupCommitLimits limits, TimeProvider clock)
    {
        this.limits = limits;
        this.clock = clock;
        this.serializer = serializer;
        writes = NewQueue<WriteItem>(limits);
        reads = NewQueue<ReadItem>(limits);
        rows = database.CreateRows(cluster.ServiceId);
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

    public void Start() =>
        pumps = Task.WhenAll(Task.Run(WriteGroupsAsync, CancellationToken.None), Task.Run(ReadGroupsAsync, CancellationToken.None));

    /// <summary>Writes what is queued, whose callers wait for the answer, and takes nothing more.</summary>
    /// <param name="cancellationToken">Ends the patience: what is still queued then fails, with an unknown outcome.</param>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        writes.Writer.TryComplete();
        reads.Writer.TryComplete();
        await using (cancellationToken.Register(abandoned.Cancel))
        {
            await pumps;
        }

        await rows.DisposeAsync();
    }

    public void Dispose() => abandoned.Dispose();

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ReadStateAsync(stateName, grainId, grainState, CancellationToken.None);

    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        WriteStateAsync(stateName, grainId, grainState, CancellationToken.None);

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ClearStateAsync(stateName, grainId, grainState, CancellationToken.None);

    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        var item = new ReadItem(new(stateName, grainId));
        if (!reads.Writer.TryWrite(item))
        {
            throw new StorageBusyException();
        }

        var row = await item.Done.Task.WaitAsync(cancellationToken);
        grainState.ETag = row?.Version.ToString(CultureInfo.InvariantCulture);
        grainState.RecordExists = row is { Payload: not null };
        grainState.State = row is { Payload: { } payload } ? serializer.Deserialize<T>(new(payload))! : Activator.CreateInstance<T>();
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        var write = ToWrite(stateName, grainId, grainState);
        Require(await EnqueueAsync(new(write, second: null, cancellationToken)), write, second: null);
        Written(grainState, write);
    }

    public async Task<bool> InsertWithAsync<T>(FirstRow row, string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var first = new RowWrite(new(row.StateName, row.Grain), row.Payload, Version: null, row.HistoryKey);
        var second = ToWrite(stateName, grainId, grainState);
        var fate = await EnqueueAsync(new(first, second, CancellationToken.None));
        if (fate is WriteFate.FirstConflicts)
        {
            return false;
        }

        Require(fate, first, second);
        Written(grainState, second);
        return true;
    }

    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState, CancellationToken cancellationToken)
    {
        if (grainState.ETag is not null)
        {
            var write = new RowWrite(new(stateName, grainId), Payload: null, Version(grainState.ETag));
            Require(await EnqueueAsync(new(write, second: null, cancellationToken)), write, second: null);
            grainState.ETag = null;
        }

        grainState.RecordExists = false;
        grainState.State = Activator.CreateInstance<T>();
    }

    private static Channel<TItem> NewQueue<TItem>(GroupCommitLimits limits) =>
        Channel.CreateBounded<TItem>(new BoundedChannelOptions(limits.Queue) { SingleReader = true });

    private static void Written<T>(IGrainState<T> state, RowWrite write) =>
        (state.ETag, state.RecordExists) = (write.Next.ToString(CultureInfo.InvariantCulture), true);

    private static int Version(string etag) => int.Parse(etag, CultureInfo.InvariantCulture);

    private static void Require(WriteFate fate, RowWrite first, RowWrite? second)
    {
        if (fate is not WriteFate.Written)
        {
            var write = fate is WriteFate.FirstConflicts ? first : second!.Value;
            throw new InconsistentStateException($"The row of {write.Row.Type} {write.Row.Key} is not at version {write.Version?.ToString(CultureInfo.InvariantCulture) ?? "none"} any more.");
        }
    }

    // The first write gives an operation its place in a history, and a removal the tombstone its own.
    private static string? PlaceOf<T>(GrainId grainId, IGrainState<T> state) => state.State switch
    {
        OperationState { TombstoneKey: { } key } => key,
        OperationState first when state.ETag is null => first.HistoryKey(GrainFactoryExtensions.ParseKey(grainId.Key.ToString()!).Customer),
        _ => null,
    };

    private RowWrite ToWrite<T>(string stateName, GrainId grainId, IGrainState<T> state) => new(
        new(stateName, grainId),
        serializer.Serialize(state.State).ToArray(),
        state.ETag is null ? null : Version(state.ETag),
        PlaceOf(grainId, state),
        state.State is UserState ? (int)(clock.GetUtcNow() - Epoch).TotalSeconds : 1);

    private Task<WriteFate> EnqueueAsync(WriteItem item)
    {
        if (Interlocked.Add(ref queuedBytes, item.Bytes) > limits.QueuedBytes || !writes.Writer.TryWrite(item))
        {
            Interlocked.Add(ref queuedBytes, -item.Bytes);
            throw new StorageBusyException();
        }

        return item.Done.Task;
    }

    private async Task WriteGroupsAsync()
    {
        var group = new List<WriteItem>(limits.Group);
        var touched = new HashSet<RowKey>();
        while (await writes.Reader.WaitToReadAsync())
        {
            // One statement cannot tell two writes of one row apart: the later one goes with the next group.
            while (group.Count < limits.Group && writes.Reader.TryPeek(out var item) && item.TryJoin(touched))
            {
                writes.Reader.TryRead(out _);
                Interlocked.Add(ref queuedBytes, -item.Bytes);
                if (!item.IsTakenBack())
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

    private async Task WriteAsync(List<WriteItem> group, int overtaken = 0)
    {
        try
        {
            await rows.WriteAsync(group, abandoned.Token);
        }
        catch (GroupRefusedException refusal) when (group.Count > 1 || (refusal.IsOvertaken && overtaken < OvertakenAtMost))
        {
            // One poisoned row hurts nobody else.
            foreach (var item in group)
            {
                await WriteAsync([item], overtaken + 1);
            }

            return;
        }
        catch (Exception fault)
        {
            // Each gets a fault of its own: a task's exception is thrown in many places at once.
            group.ForEach(item => item.Done.SetException(new StorageFaultException(fault)));
            return;
        }

        group.ForEach(item => item.Done.SetResult(item.Fate));
    }

    private async Task ReadGroupsAsync()
    {
        var group = new List<ReadItem>(limits.Group);
        while (await reads.Reader.WaitToReadAsync())
        {
            while (group.Count < limits.Group && reads.Reader.TryRead(out var item))
            {
                group.Add(item);
            }

            try
            {
                await rows.ReadAsync(group, abandoned.Token);
                group.ForEach(item => item.Done.SetResult(item.Found));
            }
            catch (Exception fault)
            {
                group.ForEach(item => item.Done.TrySetException(new StorageFaultException(fault)));
            }

            group.Clear();
        }
    }
}

/// <summary>A grain storage that can write the rows of two grains together.</summary>
internal interface IPairedGrainStorage : IGrainStorage
{
    /// <summary>Inserts the first row of one grain and writes the state of another, in one transaction.</summary>
    /// <returns>False when the first row exists already; then nothing was written.</returns>
    /// <exception cref="InconsistentStateException">The state of the other grain has moved on; nothing was written.</exception>
    Task<bool> InsertWithAsync<T>(FirstRow row, string stateName, GrainId grainId, IGrainState<T> grainState);
}

/// <summary>How much the storage takes at once.</summary>
internal sealed record GroupCommitLimits
{
    /// <summary>Rows or pairs of rows in one transaction.</summary>
    public int Group { get; init; } = 128;

    /// <summary>Writes, and likewise reads, that wait; one more is refused.</summary>
    public int Queue { get; init; } = 16_384;

    /// <summary>Bytes of state in the writes that wait.</summary>
    public long QueuedBytes { get; init; } = 64 * 1024 * 1024;
}

/// <summary>The row that a new grain starts with, written by another grain together with its own.</summary>
internal sealed record FirstRow(string StateName, GrainId Grain, byte[] Payload, string? HistoryKey = null);

/// <summary>The database did not take or answer a group. Whether a write took effect is unknown.</summary>
[GenerateSerializer, Alias("recognize.storage-fault")]
internal sealed class StorageFaultException : OrleansException
{
    public StorageFaultException(Exception cause)
        : base($"The storage failed: {cause.GetBaseException().Message}")
    {
    }
}

/// <summary>The storage has as much work as it may hold, or is stopping. Nothing was written.</summary>
[GenerateSerializer, Alias("recognize.storage-busy")]
internal sealed class StorageBusyException() : OrleansException("The storage takes no more work at the moment.");
