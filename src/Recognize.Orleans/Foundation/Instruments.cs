using System.Diagnostics.Metrics;

namespace Recognize.Orleans.Foundation;

/// <summary>
/// The meter <c>Recognize</c>. Each folder has the instruments of what it does. Tags are small closed sets, never ids.
/// </summary>
internal static class Instruments
{
    public const string MeterName = "Recognize";

    /// <summary>Boundaries for what usually takes milliseconds, in seconds.</summary>
    public static InstrumentAdvice<double> ShortTimes { get; } =
        new() { HistogramBucketBoundaries = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] };

    /// <summary>The service's meter. The factory makes it once.</summary>
    public static Meter Recognize(this IMeterFactory meters) => meters.Create(MeterName);

    /// <summary>A gauge that is absent while its value is null.</summary>
    public static Instrument Observe<T>(this Meter meter, string name, string unit, string description, Func<T?> value)
        where T : struct => meter.CreateObservableGauge(name, IEnumerable<Measurement<T>> () => value() is { } known ? [new(known)] : [], unit, description);
}

/// <summary>Counters that alerts look at.</summary>
internal interface IAlertedCounters
{
    /// <summary>Shows them as zero, so that the first event is an increase.</summary>
    void Begin();
}
