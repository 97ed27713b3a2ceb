using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
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

/// <summary>Lets single writes fail or wait, and single reads wait. The storage behind it is the real one.</summary>
internal sealed class StorageTrouble
{
    private readonly ConcurrentDictionary<GrainId, ITrouble> troubles = new();
    private readonly ConcurrentDictionary<GrainId, HeldCall> heldReads = new();
    private readonly ConcurrentDictionary<GrainId, int> reads = new();

    public void FailNextWrite(IAddressable grain, FailedWrite moment) => troubles[grain.GetGrainId()] = new Failure(moment);

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

    /// <summary>How often any row was read.</summary>
    public int Reads => reads.Values.Sum();

    /// <summary>How often the grain's row was read.</summary>
    public int ReadsOf(IAddressable grain) => reads.GetValueOrDefault(grain.GetGrainId());

    public void Surround(IServiceCollection services)
    {
        var real = services.Last(service => service.ServiceType == typeof(IGrainStorage) && Equals(service.ServiceKey, "Default"));
        services.Remove(real);
        services.AddKeyedSingleton<IGrainStorage>(
            "Default",
            (provider, key) => TroubledStorage.Around((IGrainStorage)real.KeyedImplementationFactory!(provider, key), this));
    }

    public ITrouble Take(GrainId grain) => troubles.TryRemove(grain, out var trouble) ? trouble : NoTrouble.Instance;

    public Task FoundAsync(GrainId grain)
    {
        reads.AddOrUpdate(grain, 1, (_, count) => count + 1);
        return heldReads.TryRemove(grain, out var held) ? held.BeforeAsync() : Task.CompletedTask;
    }

    /// <summary>What the storage throws when its database does not answer.</summary>
    public static Exception Broken() => new StorageFaultException(new IOException("The connection broke."));

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

internal class TroubledStorage(IGrainStorage real, StorageTrouble trouble) : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    public static TroubledStorage Around(IGrainStorage real, StorageTrouble trouble) =>
        real is IPairedGrainStorage paired ? new TroubledPairedStorage(paired, trouble) : new TroubledStorage(real, trouble);

    public IGrainStorage Real => real;

    public async Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        await real.ReadStateAsync(stateName, grainId, grainState);
        await trouble.FoundAsync(grainId);
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var next = trouble.Take(grainId);
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

/// <summary>A pair of rows meets the trouble of either.</summary>
internal sealed class TroubledPairedStorage(IPairedGrainStorage real, StorageTrouble trouble) : TroubledStorage(real, trouble), IPairedGrainStorage
{
    private readonly StorageTrouble trouble = trouble;

    public async Task<bool> InsertWithAsync<T>(FirstRow row, string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        ITrouble[] next = [trouble.Take(row.Grain), trouble.Take(grainId)];
        await next[0].BeforeAsync();
        await next[1].BeforeAsync();
        var inserted = await real.InsertWithAsync(row, stateName, grainId, grainState);
        await next[0].AfterAsync();
        await next[1].AfterAsync();
        return inserted;
    }
}
