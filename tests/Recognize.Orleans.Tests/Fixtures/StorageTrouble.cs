using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Fixtures;

/// <summary>When a write fails: with nothing stored, or with everything stored and nobody told.</summary>
public enum FailedWrite
{
    BeforeItsCommit,
    AfterItsCommit,

    /// <summary>Not even tried.</summary>
    NoRoom,
}

/// <summary>Lets single writes fail, wait or come late, and single reads wait. The storage behind it is the real one.</summary>
internal sealed class StorageTrouble
{
    private readonly ConcurrentDictionary<GrainId, ITrouble> troubles = new();
    private readonly ConcurrentDictionary<GrainId, HeldCall> heldReads = new();
    private readonly ConcurrentDictionary<GrainId, int> reads = new();
    private readonly ConcurrentDictionary<string, HeldCall> heldRefreshes = new();
    private readonly ConcurrentDictionary<string, int> refreshes = new();

    public void FailNextWrite(IAddressable grain, FailedWrite moment) => troubles[grain.GetGrainId()] = new Failure(moment);

    /// <summary>Tells the grain that its next write failed, while the statement is on its way to the database still.</summary>
    public LateWrite DelayNextWrite(IAddressable grain)
    {
        var late = new LateWrite();
        troubles[grain.GetGrainId()] = late;
        return late;
    }

    /// <summary>Holds the grain's next write back until it is released, before the database sees anything of it.</summary>
    public HeldCall HoldNextWrite(IAddressable grain)
    {
        var held = new HeldCall();
        troubles[grain.GetGrainId()] = held;
        return held;
    }

    /// <summary>Holds the answer to the grain's next write back until it is released: the database has it, and the grain does not know.</summary>
    public HeldCall HoldNextAnswer(IAddressable grain)
    {
        var held = new HeldCall(afterwards: true);
        troubles[grain.GetGrainId()] = held;
        return held;
    }

    /// <summary>Holds back what the grain's next read has found, until it is released.</summary>
    public HeldCall HoldNextRead(IAddressable grain) => heldReads[grain.GetGrainId()] = new();

    /// <summary>Holds back what the next refresh of a user's pending operations has found, until it is released.</summary>
    public HeldCall HoldNextRefresh(IUserGrain user) => heldRefreshes[RangeOf(user)] = new();

    /// <summary>How often any row was read.</summary>
    public int Reads => reads.Values.Sum() + refreshes.Values.Sum();

    /// <summary>How often a user's pending operations were refreshed.</summary>
    public int RefreshesOf(IUserGrain user) => refreshes.GetValueOrDefault(RangeOf(user));

    /// <summary>How often the grain's row was read.</summary>
    public int ReadsOf(IAddressable grain) => reads.GetValueOrDefault(grain.GetGrainId());

    public void Surround(IServiceCollection services)
    {
        var real = services.Last(service => service.ServiceType == typeof(IGrainStorage) && Equals(service.ServiceKey, "Default"));
        services.Remove(real);
        services.AddKeyedSingleton<IGrainStorage>(
            "Default",
            (provider, key) => new TroubledStorage((IGrainStorage)real.KeyedImplementationFactory!(provider, key), this));
        var rows = services.Last(service => service.ServiceType == typeof(IRowStore));
        services.Remove(rows);
        services.AddSingleton<IRowStore>(provider => new TroubledRowStore((IRowStore)rows.ImplementationFactory!(provider), this));
    }

    public ITrouble Take(GrainId grain) => troubles.TryRemove(grain, out var trouble) ? trouble : NoTrouble.Instance;

    public Task FoundAsync(GrainId grain)
    {
        reads.AddOrUpdate(grain, 1, (_, count) => count + 1);
        return heldReads.TryRemove(grain, out var held) ? held.BeforeAsync() : Task.CompletedTask;
    }

    public Task RefreshedAsync(RowRange range)
    {
        refreshes.AddOrUpdate(range.After, 1, (_, count) => count + 1);
        return heldRefreshes.TryRemove(range.After, out var held) ? held.BeforeAsync() : Task.CompletedTask;
    }

    /// <summary>What the storage throws when its database does not answer.</summary>
    public static Exception Broken() => new StorageFaultException("The connection broke.", mayBeWritten: true);

    private static string RangeOf(IUserGrain user) => OperationState.PrefixOf(UserKey.Parse(user.GetPrimaryKeyString()));

    private sealed class Failure(FailedWrite moment) : ITrouble
    {
        public Task BeforeAsync() => moment is FailedWrite.NoRoom ? throw new StorageBusyException() : FailIf(FailedWrite.BeforeItsCommit);

        public Task AfterAsync() => FailIf(FailedWrite.AfterItsCommit);

        private Task FailIf(FailedWrite now) => now == moment ? throw Broken() : Task.CompletedTask;
    }

    private sealed class NoTrouble : ITrouble
    {
        public static readonly NoTrouble Instance = new();

        public Task BeforeAsync() => Task.CompletedTask;

        public Task AfterAsync() => Task.CompletedTask;
    }
}

internal interface ITrouble
{
    Task BeforeAsync();

    Task AfterAsync();
}

internal sealed class HeldCall(bool afterwards = false) : ITrouble, IDisposable
{
    private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the call has come to the storage.</summary>
    public Task Reached => reached.Task.WaitAsync(ClusterFixture.Patience);

    public void Dispose() => released.TrySetResult();

    /// <summary>Releases it with a fault.</summary>
    public void Fail() => released.TrySetException(StorageTrouble.Broken());

    public Task BeforeAsync() => afterwards ? Task.CompletedTask : HoldAsync();

    public Task AfterAsync() => afterwards ? HoldAsync() : Task.CompletedTask;

    private Task HoldAsync()
    {
        reached.TrySetResult();
        return released.Task;
    }
}

/// <summary>A write whose statement comes to the database after its caller was told that it failed.</summary>
internal sealed class LateWrite : ITrouble
{
    private Func<Task>? write;

    public void Keep(Func<Task> statement) => write = statement;

    /// <summary>Lets the statement come to the database now.</summary>
    /// <returns>What became of it, which nobody else hears.</returns>
    public Task<Exception?> ArriveAsync() => Xunit.Record.ExceptionAsync(write ?? throw new InvalidOperationException("Nothing is on its way."));

    public Task BeforeAsync() => throw StorageTrouble.Broken();

    public Task AfterAsync() => Task.CompletedTask;
}

internal sealed class TroubledStorage(IGrainStorage real, StorageTrouble trouble) : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    public IGrainStorage Real => real;

    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await real.ReadStateAsync(stateName, grainId, grainState);
        await trouble.FoundAsync(grainId);
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var next = trouble.Take(grainId);
        (next as LateWrite)?.Keep(() => real.WriteStateAsync(stateName, grainId, new GrainState<T>(grainState.State!, grainState.ETag) { RecordExists = grainState.RecordExists }));
        await next.BeforeAsync();
        await real.WriteStateAsync(stateName, grainId, grainState);
        await next.AfterAsync();
    }

    public async Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var next = trouble.Take(grainId);
        await next.BeforeAsync();
        await real.ClearStateAsync(stateName, grainId, grainState);
        await next.AfterAsync();
    }

    public void Participate(ISiloLifecycle observer) => ((ILifecycleParticipant<ISiloLifecycle>)real).Participate(observer);
}

internal sealed class TroubledRowStore(IRowStore real, StorageTrouble trouble) : IRowStore
{
    public Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken) => real.WriteAsync(group, until, cancellationToken);

    public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken) => real.ReadAsync(group, cancellationToken);

    public async Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken)
    {
        await real.ReadRangesAsync(group, cancellationToken);
        await Task.WhenAll(group.Where(item => item.Question.Kind.Index is RowIndex.Open).Select(item => trouble.RefreshedAsync(item.Question)));
    }

    public ValueTask DisposeAsync() => real.DisposeAsync();
}
