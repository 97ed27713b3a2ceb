using System.Diagnostics;

namespace Recognize.Orleans.Cluster;

/// <summary>
/// Makes sure that a stop ends: at the deadline the process exits, whatever the stop is stuck on, and the log says so.
/// </summary>
internal sealed partial class StopDeadline(ILogger<StopDeadline> logger, IEnumerable<ILoggerProvider> logs) : IDisposable
{
    /// <summary>The exit code of a process whose stop was cut off.</summary>
    public const int CutOff = 4;

    private static readonly TimeSpan LongestLog = TimeSpan.FromSeconds(1);

    private readonly object gate = new();
    private long begun;
    private long due;
    private bool isOver;
    private Thread? thread;

    /// <summary>The exit code at the deadline.</summary>
    public int ExitCode { get; set; } = CutOff;

    /// <summary>Sets the deadline, unless an earlier one is set already.</summary>
    /// <param name="patience">How long the stop may take from now on.</param>
    public void Set(TimeSpan patience)
    {
        lock (gate)
        {
            var now = Stopwatch.GetTimestamp();
            var end = now + (long)(patience.TotalSeconds * Stopwatch.Frequency);
            if (thread is null)
            {
                (begun, due) = (now, end);

                // Uses its own thread, because the stop may be stuck on an exhausted thread pool.
                thread = new Thread(Watch) { IsBackground = true, Name = "Recognize.Orleans stop" };
                thread.Start();
            }
            else if (end < due)
            {
                due = end;
                Monitor.PulseAll(gate);
            }
        }
    }

    /// <summary>Cancels the deadline: the service has stopped, and the process ends without help.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            isOver = true;
            Monitor.PulseAll(gate);
        }
    }

    private void Watch()
    {
        lock (gate)
        {
            while (!isOver && Stopwatch.GetElapsedTime(Stopwatch.GetTimestamp(), due) is { Ticks: > 0 } left)
            {
                Monitor.Wait(gate, left);
            }

            if (isOver)
            {
                return;
            }
        }

        // A log that nobody reads must not delay the exit either.
        var log = new Thread(Tell) { IsBackground = true, Name = "Recognize.Orleans last log" };
        log.Start();
        log.Join(LongestLog);
        Environment.Exit(ExitCode);
    }

    private void Tell()
    {
        Log.CutOff(logger, Stopwatch.GetElapsedTime(begun).TotalSeconds, ExitCode);

        // Another thread writes the console, and an exit does not wait for it. Disposing its provider does.
        foreach (var provider in logs)
        {
            provider.Dispose();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(59, LogLevel.Error, "The stop was cut off after {Seconds:F0} s, with exit code {ExitCode}: something did not end in time, as a rule what waits for the database. Whatever was answered is stored.")]
        public static partial void CutOff(ILogger logger, double seconds, int exitCode);
    }
}
