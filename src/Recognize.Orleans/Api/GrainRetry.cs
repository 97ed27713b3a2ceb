using Orleans.Storage;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Api;

/// <summary>Calls to grains that survive the death of a silo.</summary>
internal static class GrainRetry
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(400);

    /// <summary>
    /// Retries a call that did not reach a live activation. Every grain call may be repeated and then reports what the
    /// first one did, so a client notices the change of silo only as a delay.
    /// </summary>
    /// <param name="clock">Measures how long to retry.</param>
    /// <param name="call">The call; a write is never cancelled because its client went away.</param>
    /// <param name="cancellationToken">Ends the pauses between retries of a read.</param>
    public static async Task<T> CallAsync<T>(TimeProvider clock, Func<Task<T>> call, CancellationToken cancellationToken = default)
    {
        long? refused = null;
        var pause = TimeSpan.FromMilliseconds(25);
        while (true)
        {
            try
            {
                return await call();
            }
            catch (Exception exception) when (IsLostActivation(exception) && clock.GetElapsedTime(refused ??= clock.GetTimestamp()) < Times.Retries)
            {
                await Task.Delay(pause, clock, cancellationToken);
                pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
            }
        }
    }

    // A silo died, left or was voted dead, or another activation of the same grain wrote first (its row has a newer
    // version).
    private static bool IsLostActivation(Exception exception) =>
        exception is OrleansMessageRejectionException or InconsistentStateException or SiloFencedException;
}
