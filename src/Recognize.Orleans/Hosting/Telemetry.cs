using System.Collections.Frozen;
using System.Diagnostics;
using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Resources;
using OpenTelemetry.Trace;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting;

/// <summary>
/// Metrics for Prometheus on the management port, and metrics and traces over OTLP when the standard variable
/// <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> says where to. Nothing that is exported holds the id of a user or an operation.
/// The log, which may name a row that cannot be read, stays on the console.
/// </summary>
internal static class Telemetry
{
    public const string ServiceName = "recognize";

    // Orleans counts every message in dozens of instruments, and each that is exported costs every call.
    private static readonly FrozenSet<string> OfOrleans = FrozenSet.Create(
        StringComparer.Ordinal,
        "orleans-catalog-activations",
        "orleans-catalog-activation-failed-to-activate",
        "orleans-app-requests-timedout",
        "orleans-messaging-sent-failed",
        "orleans-messaging-sent-dropped",
        "orleans-messaging-rejected",
        "orleans-scheduler-long-running-turns");

    public static void AddTelemetry(this IServiceCollection services, Settings settings)
    {
        var isSent = settings.Telemetry.Endpoint is not null;
        if (!isSent && !settings.Management.ServesMetrics)
        {
            return;
        }

        var telemetry = services.AddOpenTelemetry()
            .ConfigureResource(resource => resource.AddService(ServiceName, serviceVersion: ServiceHost.Version).AddEnvironmentVariableDetector())
            .WithMetrics(metrics =>
            {
                metrics
                    .AddMeter(Instruments.MeterName, "Microsoft.Orleans", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime", "Npgsql")
                    .AddView(instrument => instrument.Meter.Name == "Microsoft.Orleans" && !OfOrleans.Contains(instrument.Name) ? MetricStreamConfiguration.Drop : null);
                _ = settings.Management.ServesMetrics ? metrics.AddPrometheusExporter() : metrics;
                _ = isSent ? metrics.AddOtlpExporter() : metrics;
            });
        if (!isSent)
        {
            return;
        }

        var managementPorts = settings.Management.Urls.Select(url => url.Port).ToHashSet();
        telemetry.WithTracing(tracing => tracing
            .SetSampler(new RequestSampler(settings.Telemetry))
            .AddSource("Microsoft.Orleans.Runtime", "Microsoft.Orleans.Application", Tracing.SourceName)
            .AddAspNetCoreInstrumentation(options => options.Filter = context => !managementPorts.Contains(context.Connection.LocalPort))
            .AddProcessor(new SpanRedactor())
            .AddOtlpExporter());
        services.AddHostedService<TelemetryWatch>();
    }

    public static void MapMetrics(this IEndpointRouteBuilder management) => management.MapPrometheusScrapingEndpoint("/metrics");

    /// <summary>
    /// Traces requests of the API and what is done for them. Whatever begins by itself is not traced: looks at the
    /// database, calls between silos, timers.
    /// </summary>
    private sealed class RequestSampler(TelemetrySettings settings) : Sampler
    {
        private const string RequestName = "Microsoft.AspNetCore.Hosting.HttpRequestIn";

        private readonly Sampler requests = new TraceIdRatioBasedSampler(settings.TracedPart);

        public override SamplingResult ShouldSample(in SamplingParameters samplingParameters)
        {
            var parent = samplingParameters.ParentContext;
            if (samplingParameters.Name == RequestName)
            {
                return settings.CallerDecides && parent.TraceId != default ? IsRecorded(parent) : requests.ShouldSample(samplingParameters);
            }

            // A statement that requests share belongs to none of them, and is linked with those that are recorded.
            return parent.TraceId != default ? IsRecorded(parent) : new(samplingParameters.Links?.Any(link => IsRecorded(link.Context).Decision is SamplingDecision.RecordAndSample) is true);
        }

        private static SamplingResult IsRecorded(ActivityContext context) => new(context.TraceFlags.HasFlag(ActivityTraceFlags.Recorded));
    }

    /// <summary>
    /// Keeps the tags that are known to hold no id. Orleans' name the grain, those of HTTP the path and whatever host the
    /// client names, and any library may add others.
    /// </summary>
    private sealed class SpanRedactor : BaseProcessor<Activity>
    {
        private static readonly FrozenSet<string> Known = FrozenSet.Create(
            StringComparer.Ordinal,
            "db.operation.batch.size",
            "db.operation.name",
            "db.system.name",
            "error.type",
            "http.request.method",
            "http.response.status_code",
            "http.route",
            "network.protocol.version",
            "orleans.rpc.service",
            "rpc.method",
            "rpc.service",
            "rpc.system.name",
            "url.path",
            "url.scheme");

        public override void OnEnd(Activity data)
        {
            foreach (var tag in data.TagObjects.Where(tag => !Known.Contains(tag.Key)).ToList())
            {
                data.SetTag(tag.Key, null);
            }

            // What the caller sent with its trace is the caller's text.
            data.TraceStateString = null;
            if (data.GetTagItem("url.path") is not null)
            {
                // The convention demands a path, and the route says as much as may be said.
                data.SetTag("url.path", data.GetTagItem("http.route") ?? "(no route)");
            }

            if (data.Status is ActivityStatusCode.Error)
            {
                // An exception's text can name a row.
                data.SetStatus(ActivityStatusCode.Error);
            }
        }
    }
}
