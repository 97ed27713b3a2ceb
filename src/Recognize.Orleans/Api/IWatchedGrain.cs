using Orleans.Concurrency;

namespace Recognize.Orleans.Api;

/// <summary>
/// What a front end asks of a grain whose next change it waits for. Waits are parked in front ends, never in a grain.
/// </summary>
[GrainInterfaceType("recognize.watched")]
internal interface IWatchedGrain : IGrainWithStringKey
{
    /// <summary>
    /// Notifies the observer once, at the next change or when the activation ends. To keep waiting, watch again.
    /// </summary>
    [AlwaysInterleave]
    [Alias("watch")]
    Task WatchAsync(IChangeObserver observer);
}

/// <summary>A front end that waits for changes.</summary>
[GrainInterfaceType("recognize.change-observer")]
internal interface IChangeObserver : IGrainObserver
{
    /// <summary>
    /// The grain has changed, or may have. A lost call is harmless: waits ask again from time to time.
    /// </summary>
    [OneWay]
    [Alias("changed")]
    Task ChangedAsync(GrainId grain);
}

/// <summary>A grain whose next change front ends wait for: one observer for each process, however many clients wait there.</summary>
internal abstract class WatchedGrain : Grain, IWatchedGrain
{
    private HashSet<IChangeObserver>? observers;

    protected bool IsWatched => observers is not null;

    public Task WatchAsync(IChangeObserver observer)
    {
        (observers ??= []).Add(observer);
        return Task.CompletedTask;
    }

    // A client that still waits watches the next activation.
    public override Task OnDeactivateAsync(DeactivationReason reason, CancellationToken cancellationToken)
    {
        TellWatchers();
        return Task.CompletedTask;
    }

    /// <summary>Notifies all observers and forgets them, so that one that is gone needs no cleanup.</summary>
    protected void TellWatchers()
    {
        var told = observers;
        observers = null;
        foreach (var observer in told ?? [])
        {
            observer.ChangedAsync(this.GetGrainId()).Ignore();
        }
    }
}
