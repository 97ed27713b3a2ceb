using Orleans.Storage;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Api;

/// <summary>Calls to grains that outlive the death of a silo.</summary>
internal static class GrainRetry
{
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(400);

    /// <summary>
    /// Repeats a call that did not reach a living activation. Every grain call may be repeated and then reports what the
    /// first one did, so that nobody sees the change of silo but as a delay.
    /// </summary>
    /// <param name="clock">What the patience is measured with.</param>
    /// <param name="call">The call; a write is never given up half-way because its client went away.</param>
    /// <param name="cancellationToken">Ends the pauses between reads.</param>
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

    // A silo died, left or was voted dead, or another activation of the same grain was faster (its row has a newer version).
    private static bool IsLostActivation(Exception exception) =>
        exception is OrleansMessageRejectionException or InconsistentStateException or SiloFencedException;
}
