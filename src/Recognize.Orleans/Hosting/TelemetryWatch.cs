using System.Diagnostics.Tracing;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting;

/// <summary>
/// Says in the log that the receiver of telemetry does not take it. OpenTelemetry drops what it cannot send and tells
/// only its own event source.
/// </summary>
internal sealed partial class TelemetryWatch(Settings settings, TimeProvider clock, ILogger<TelemetryWatch> logger) : EventListener, IHostedService
{
    private const string Source = "OpenTelemetry-Exporter-OpenTelemetryProtocol";

    private static readonly TimeSpan Quiet = TimeSpan.FromMinutes(10);

    private readonly Throttle lines = new(clock, Quiet);

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    // A receiver that stops together with the service is no news.
    public Task StopAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    protected override void OnEventSourceCreated(EventSource eventSource)
    {
        if (eventSource.Name == Source)
        {
            EnableEvents(eventSource, EventLevel.Warning);
        }
    }

    protected override void OnEventWritten(EventWrittenEventArgs eventData)
    {
        // Counters of the runtime come this way too, and are no errors.
        if (eventData.Level is not EventLevel.LogAlways && eventData.EventId > 0 && lines.IsDue())
        {
            Log.Refused(logger, settings.Telemetry.Endpoint!, string.Join("; ", (eventData.Payload ?? []).OfType<string>().Select(text => text.ReplaceLineEndings("\n").Split('\n')[0])), Quiet);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(80, LogLevel.Warning, "The receiver of telemetry at {Endpoint} (OTEL_EXPORTER_OTLP_ENDPOINT) does not take it, and what it does not take is lost: {Reason} (said at most every {Quiet})")]
        public static partial void Refused(ILogger logger, Uri endpoint, string reason, TimeSpan quiet);
    }
}
