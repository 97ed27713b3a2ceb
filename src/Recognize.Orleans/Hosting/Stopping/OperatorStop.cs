using System.Runtime.InteropServices;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting.Stopping;

/// <summary>
/// A stop that an operator asks for, and how long it may take. The first SIGTERM or SIGINT begins it, through the host;
/// the second one shortens it.
/// </summary>
internal sealed partial class OperatorStop(Settings settings, IHostApplicationLifetime lifetime, StopDeadline deadline, ILogger<OperatorStop> logger) : IDisposable
{
    // Counted from the end of the drain delay.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    // What is given up needs a moment to end: connections are closed, and the silo tells the others that it leaves.
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(5);

    // Kept free before the end of either: a hastened stop closes what was given up, and a process that is cut off still writes
    // its last line and exits.
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan LongestHastened = TimeSpan.FromSeconds(3);

    private readonly TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource hastened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource patience = new();
    private readonly List<IDisposable> registrations = [];
    private int signals;

    /// <summary>How long a whole stop may take.</summary>
    public static TimeSpan LongestOf(Settings settings) => settings.Silo.DrainDelay + Longest;

    /// <summary>Completes when the service is to stop, for whatever reason.</summary>
    public Task Begun => begun.Task;

    /// <summary>Completes when the operator does not want to wait.</summary>
    public Task Hastened => hastened.Task;

    /// <summary>Cancelled when work in flight is given up.</summary>
    public CancellationToken Patience => patience.Token;

    /// <summary>
    /// Listens to the operator's signals. Only for a process of the service's own, because it ends the process when a
    /// stop takes too long.
    /// </summary>
    public void Listen()
    {
        registrations.Add(lifetime.ApplicationStopping.Register(Begin));
        registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, Count));
        registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, Count));
    }

    public void Dispose()
    {
        registrations.ForEach(registration => registration.Dispose());
        patience.Dispose();
    }

    private void Begin()
    {
        deadline.Set(LongestOf(settings) - Margin);
        GiveUpAfter(LongestOf(settings) - LongestEnd);
        begun.TrySetResult();
    }

    private void Count(PosixSignalContext signal)
    {
        // The host handles the first signal.
        if (Interlocked.Increment(ref signals) == 1)
        {
            return;
        }

        signal.Cancel = true;
        if (hastened.TrySetResult())
        {
            Log.Hastened(logger, LongestHastened.TotalSeconds);
            deadline.Set(LongestHastened);
            GiveUpAfter(LongestHastened - Margin);
        }
    }

    private void GiveUpAfter(TimeSpan time)
    {
        try
        {
            patience.CancelAfter(time);
        }
        catch (ObjectDisposedException)
        {
            // The stop is over: the signal came while the process was ending.
        }
    }

    private static partial class Log
    {
        [LoggerMessage(28, LogLevel.Information, "Told to stop once more: what is under way gets {Seconds} s.")]
        public static partial void Hastened(ILogger logger, double seconds);
    }
}
