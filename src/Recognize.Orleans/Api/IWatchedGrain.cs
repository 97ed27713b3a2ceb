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

/// <summary>
/// The front ends that wait for a grain's next change: one for each process, however many clients wait there.
/// </summary>
internal sealed class Watchers
{
    private HashSet<IChangeObserver>? observers;

    public bool Any => observers is not null;

    public void Add(IChangeObserver observer) => (observers ??= []).Add(observer);

    /// <summary>Notifies all of them and forgets them, so that one that is gone needs no cleanup.</summary>
    public void Tell(GrainId changed)
    {
        if (observers is not { } told)
        {
            return;
        }

        observers = null;
        foreach (var observer in told)
        {
            observer.ChangedAsync(changed).Ignore();
        }
    }
}
