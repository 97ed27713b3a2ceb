using Microsoft.Extensions.Logging;

namespace Recognize.Orleans.Fixtures;

/// <summary>Keeps what a service logs, and lets a test wait for a line instead of for a time.</summary>
internal sealed class LogLines : ILoggerProvider
{
    private readonly Lock gate = new();
    private readonly List<LogLine> lines = [];
    private TaskCompletionSource changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public IReadOnlyList<LogLine> All
    {
        get
        {
            lock (gate)
            {
                return [.. lines];
            }
        }
    }

    /// <summary>The lines of an event, once there are so many.</summary>
    public async Task<IReadOnlyList<LogLine>> WaitForAsync(int eventId, int count = 1)
    {
        while (true)
        {
            Task next;
            lock (gate)
            {
                var found = lines.Where(line => line.EventId == eventId && line.Category.StartsWith("Recognize.", StringComparison.Ordinal)).ToList();
                if (found.Count >= count)
                {
                    return found;
                }

                next = changed.Task;
            }

            await next.WaitAsync(ServiceProcess.Patience);
        }
    }

    public ILogger CreateLogger(string categoryName) => new Logger(this, categoryName);

    public void Dispose()
    {
    }

    private void Add(LogLine line)
    {
        lock (gate)
        {
            lines.Add(line);
            changed.SetResult();
            changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    private sealed class Logger(LogLines owner, string category) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            owner.Add(new(category, logLevel, eventId.Id, formatter(state, exception)));
    }
}

internal sealed record LogLine(string Category, LogLevel Level, int EventId, string Message);
