using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting;

/// <summary>What leaves the process for a receiver of telemetry, by OpenTelemetry's own variables.</summary>
internal sealed record TelemetrySettings
{
    private const string Ratio = "traceidratio";
    private const string ParentBased = "parentbased_";

    /// <summary>Where traces and metrics are sent; null: nowhere.</summary>
    public required Uri? Endpoint { get; init; }

    /// <summary>Which part of the requests is traced, from 0 to 1.</summary>
    public required double TracedPart { get; init; }

    /// <summary>Whether a caller that traces its own call decides for it.</summary>
    public required bool CallerDecides { get; init; }

    public static TelemetrySettings Read(SettingsReader reader)
    {
        var sampler = reader.Choice("OTEL_TRACES_SAMPLER", "parentbased_always_on", ["always_on", "always_off", Ratio, "parentbased_always_on", "parentbased_always_off", ParentBased + Ratio]);
        var part = reader.Fraction("OTEL_TRACES_SAMPLER_ARG", 1);
        return new()
        {
            Endpoint = reader.Url("OTEL_EXPORTER_OTLP_ENDPOINT"),
            TracedPart = sampler.EndsWith(Ratio, StringComparison.Ordinal) ? part : sampler.EndsWith("always_off", StringComparison.Ordinal) ? 0 : 1,
            CallerDecides = sampler.StartsWith(ParentBased, StringComparison.Ordinal),
        };
    }
}
