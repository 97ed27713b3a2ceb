using System.Diagnostics.CodeAnalysis;
using System.Runtime.InteropServices;
using Recognize.Orleans.Cluster;

namespace Recognize.Orleans.Hosting.Stopping;

/// <summary>
/// Why the process stops, how long that may take, and with which exit code it ends. The first SIGTERM or SIGINT begins a
/// stop, through the host; the second one shortens it. A node that may no longer write, or that Orleans cannot go on
/// with, stops by itself.
/// </summary>
[SuppressMessage("Design", "CA1001", Justification = "It ends with the process, and its threads outlive the container.")]
internal sealed partial class ServiceStop(Settings settings, IHostApplicationLifetime lifetime, IEnumerable<ILoggerProvider> logs, ILogger<ServiceStop> logger) : IFence, IFatalErrorHandler
{
    /// <summary>The exit code of a process that has stopped by itself.</summary>
    public const int Fenced = 3;

    /// <summary>The exit code of a process whose stop was cut off.</summary>
    public const int CutOff = 4;

    // How long work in flight may take from the end of the drain delay on, or from a second signal.
    private static readonly TimeSpan LongestWork = TimeSpan.FromSeconds(25);
    private static readonly TimeSpan LongestHastenedWork = TimeSpan.FromSeconds(2);

    // What is given up needs a moment to end: connections are closed, and the silo tells the others that it leaves.
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(4);

    // The last moment of a process: a hastened stop closes what was given up, and one that is cut off writes its last line.
    private static readonly TimeSpan LastMoment = TimeSpan.FromSeconds(1);

    private readonly TaskCompletionSource begun = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource hastened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource patience = new();
    private readonly List<IDisposable> registrations = [];
    private int signals;
    private bool isClosed;
    private bool isCutOff;

    /// <summary>How long a whole stop may take.</summary>
    public static TimeSpan LongestOf(Settings settings) => settings.Silo.DrainDelay + LongestWork + LongestEnd + LastMoment;

    public bool IsClosed => Volatile.Read(ref isClosed);

    /// <summary>Completes when the service is to stop, for whatever reason.</summary>
    public Task Begun => begun.Task;

    /// <summary>Completes when a stop does not wait for traffic to drain away.</summary>
    public Task Hastened => hastened.Task;

    /// <summary>Cancelled when work in flight is given up.</summary>
    public CancellationToken Patience => patience.Token;

    public int ExitCode => IsClosed ? Fenced : patience.IsCancellationRequested ? CutOff : 0;

    /// <summary>
    /// Listens to the operator's signals. Only for a process of the service's own, because from now on a stop that takes
    /// too long ends the process.
    /// </summary>
    public void Listen()
    {
        registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGTERM, Count));
        registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGINT, Count));
        registrations.Add(lifetime.ApplicationStopping.Register(() =>
        {
            EndAfter(settings.Silo.DrainDelay + LongestWork, LongestEnd);
            begun.TrySetResult();
        }));
    }

    public void Close(string reason) => Close(reason, fault: null);

    public bool IsUnexpected(Exception exception) => true;

    // Orleans' own handler would end the process at once, with a stack trace instead of a reason. It is given no
    // exception when the silo finds that it was declared dead, or that a newer silo has its address.
    public void OnFatalException(object? sender = null, string? context = null, Exception? exception = null) =>
        Close(exception is null ? "The other silos have declared this one dead." : $"Orleans cannot go on after a fault in {sender?.GetType().Name} ({context}).", exception);

    /// <summary>Logs, once, that the stop does not end by itself.</summary>
    public void TellCutOff()
    {
        if (!Interlocked.Exchange(ref isCutOff, true))
        {
            Log.CutOff(logger, IsClosed ? Fenced : CutOff);
        }
    }

    private void Close(string reason, Exception? fault)
    {
        if (Interlocked.Exchange(ref isClosed, true))
        {
            return;
        }

        Log.Closed(logger, fault, reason, Fenced);
        hastened.TrySetResult();
        EndAfter(LongestWork, LongestEnd);

        // Not on the caller's thread: the caller may hold a lock or a grain's turn that the stop waits for.
        ThreadPool.QueueUserWorkItem(_ => lifetime.StopApplication());
    }

    private void Count(PosixSignalContext signal)
    {
        // The host handles the first signal.
        var count = Interlocked.Increment(ref signals);
        if (count == 1)
        {
            return;
        }

        signal.Cancel = true;
        if (count == 2)
        {
            Log.Hastened(logger, (LongestHastenedWork + LastMoment).TotalSeconds);
            hastened.TrySetResult();
            EndAfter(LongestHastenedWork, LastMoment);
        }
    }

    // Each call has its own thread, because the stop may be stuck on an exhausted thread pool. The earliest end counts.
    private void EndAfter(TimeSpan work, TimeSpan end)
    {
        if (registrations.Count == 0)
        {
            return;
        }

        new Thread(() =>
        {
            Thread.Sleep(work);
            _ = patience.CancelAsync();
            Thread.Sleep(end);

            // A log that nobody reads must not delay the exit either.
            var log = new Thread(TellAndFlush) { IsBackground = true };
            log.Start();
            log.Join(LastMoment);
            Environment.Exit(ExitCode);
        })
        {
            IsBackground = true,
            Name = "Recognize.Orleans stop",
        }.Start();
    }

    private void TellAndFlush()
    {
        TellCutOff();

        // Another thread writes the console, and an exit does not wait for it. Disposing its provider does.
        foreach (var provider in logs)
        {
            provider.Dispose();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(28, LogLevel.Information, "Told to stop once more: what is under way gets {Seconds} s.")]
        public static partial void Hastened(ILogger logger, double seconds);

        [LoggerMessage(29, LogLevel.Error, "The stop was cut off, with exit code {ExitCode}: something did not end in time, as a rule what waits for the database. Whatever was answered is stored.")]
        public static partial void CutOff(ILogger logger, int exitCode);

        [LoggerMessage(60, LogLevel.Critical, "{Reason} This node writes nothing any more and stops, with exit code {ExitCode}; start it again.")]
        public static partial void Closed(ILogger logger, Exception? fault, string reason, int exitCode);
    }
}
