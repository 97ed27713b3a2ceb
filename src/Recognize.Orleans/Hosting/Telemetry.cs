using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting;

/// <summary>
/// Metrics and traces over OTLP, when the standard variable <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> says where to.
/// </summary>
internal static class Telemetry
{
    /// <summary>
    /// Whether telemetry is exported. Tracing a request through the grains costs every call, so it is off unless asked
    /// for.
    /// </summary>
    public static bool IsOn(IConfiguration configuration) => !string.IsNullOrWhiteSpace(configuration["OTEL_EXPORTER_OTLP_ENDPOINT"]);

    public static void AddTelemetry(this IServiceCollection services, IConfiguration configuration)
    {
        if (!IsOn(configuration))
        {
            return;
        }

        services.AddOpenTelemetry()
            .WithMetrics(metrics => metrics.AddMeter(
                Metrics.MeterName, "Microsoft.Orleans", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime", "Npgsql"))
            .WithTracing(tracing => tracing
                .AddSource("Microsoft.Orleans.Runtime", "Microsoft.Orleans.Application", "Npgsql")
                .AddAspNetCoreInstrumentation(options => options.EnrichWithHttpResponse = (activity, response) =>
                {
                    // The path holds the ids of users and operations; the route says enough.
                    var route = (response.HttpContext.GetEndpoint() as RouteEndpoint)?.RoutePattern.RawText;
                    activity.SetTag("url.path", route ?? "(no route)").SetTag("url.query", null);
                }))
            .UseOtlpExporter();
    }
}
