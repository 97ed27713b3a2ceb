using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;

namespace Recognize.Orleans.Fixtures;

/// <summary>When a write fails: with nothing stored, or with everything stored and nobody told.</summary>
public enum FailedWrite
{
    BeforeItsCommit,
    AfterItsCommit,
}

/// <summary>Lets single writes fail or wait. The storage behind it is the real one.</summary>
internal sealed class StorageTrouble
{
    private readonly ConcurrentDictionary<GrainId, IWriteTrouble> troubles = new();

    public void FailNextWrite(IAddressable grain, FailedWrite moment) => troubles[grain.GetGrainId()] = new Failure(moment);

    /// <summary>Holds the grain's next write back until it is released, before the database sees anything of it.</summary>
    public HeldWrite HoldNextWrite(IAddressable grain)
    {
        var held = new HeldWrite();
        troubles[grain.GetGrainId()] = held;
        return held;
    }

    public void Surround(IServiceCollection services)
    {
        var real = services.Last(service => service.ServiceType == typeof(IGrainStorage) && Equals(service.ServiceKey, "Default"));
        services.Remove(real);
        services.AddKeyedSingleton<IGrainStorage>(
            "Default",
            (provider, key) => new TroubledStorage((IGrainStorage)real.KeyedImplementationFactory!(provider, key), this));
    }

    public IWriteTrouble Take(GrainId grain) => troubles.TryRemove(grain, out var trouble) ? trouble : NoTrouble.Instance;

    private sealed class Failure(FailedWrite moment) : IWriteTrouble
    {
        public Task BeforeAsync() => FailIf(FailedWrite.BeforeItsCommit);

        public Task AfterAsync() => FailIf(FailedWrite.AfterItsCommit);

        private Task FailIf(FailedWrite now) => now == moment ? throw new IOException("The connection broke.") : Task.CompletedTask;
    }

    private sealed class NoTrouble : IWriteTrouble
    {
        public static readonly NoTrouble Instance = new();

        public Task BeforeAsync() => Task.CompletedTask;

        public Task AfterAsync() => Task.CompletedTask;
    }
}

internal interface IWriteTrouble
{
    Task BeforeAsync();

    Task AfterAsync();
}

internal sealed class HeldWrite : IWriteTrouble, IDisposable
{
    private readonly TaskCompletionSource reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource released = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes when the write has come to the storage.</summary>
    public Task Reached => reached.Task.WaitAsync(ClusterFixture.Patience);

    public void Dispose() => released.TrySetResult();

    public Task BeforeAsync()
    {
        reached.TrySetResult();
        return released.Task;
    }

    public Task AfterAsync() => Task.CompletedTask;
}

internal sealed class TroubledStorage(IGrainStorage real, StorageTrouble trouble) : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    public IGrainStorage Real => real;

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        real.ReadStateAsync(stateName, grainId, grainState);

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        var next = trouble.Take(grainId);
        await next.BeforeAsync();
        await real.WriteStateAsync(stateName, grainId, grainState);
        await next.AfterAsync();
    }

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        real.ClearStateAsync(stateName, grainId, grainState);

    public void Participate(ISiloLifecycle observer) => ((ILifecycleParticipant<ISiloLifecycle>)real).Participate(observer);
}
