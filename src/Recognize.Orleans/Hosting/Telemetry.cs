using OpenTelemetry;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;

namespace Recognize.Orleans.Hosting;

/// <summary>Metrics and traces over OTLP, when the standard variable <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> says where to.</summary>
internal static class Telemetry
{
    public static void AddTelemetry(this IServiceCollection services, IConfiguration configuration)
    {
        if (string.IsNullOrWhiteSpace(configuration["OTEL_EXPORTER_OTLP_ENDPOINT"]))
        {
            return;
        }

        services.AddOpenTelemetry()
            .WithMetrics(metrics => metrics.AddMeter(Metrics.MeterName, "Microsoft.Orleans", "Microsoft.AspNetCore.Hosting", "Microsoft.AspNetCore.Server.Kestrel", "System.Runtime", "Npgsql"))
            .WithTracing(tracing => tracing.AddAspNetCoreInstrumentation().AddSource("Microsoft.Orleans.Runtime", "Microsoft.Orleans.Application", "Npgsql"))
            .UseOtlpExporter();
    }
}
