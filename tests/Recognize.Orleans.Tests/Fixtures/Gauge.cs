using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;

namespace Recognize.Orleans.Fixtures;

/// <summary>Reads the gauges of a service; other services of this process have meters of their own.</summary>
internal static class Gauge
{
    /// <summary>What a gauge shows now; null: nothing.</summary>
    public static double? Read(TestService service, string name)
    {
        double? value = null;
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, owner) =>
            {
                if (instrument.Name == name && instrument.Meter.Scope == service.Services.GetRequiredService<IMeterFactory>())
                {
                    owner.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<int>((_, measured, _, _) => value = measured);
        listener.SetMeasurementEventCallback<long>((_, measured, _, _) => value = measured);
        listener.SetMeasurementEventCallback<double>((_, measured, _, _) => value = measured);
        listener.Start();
        listener.RecordObservableInstruments();
        return value;
    }

    /// <summary>What a gauge shows as soon as it shows anything.</summary>
    public static async Task<double> ReadAsync(TestService service, string name)
    {
        var patience = Task.Delay(ServiceProcess.Patience);
        while (!patience.IsCompleted)
        {
            if (Read(service, name) is { } value)
            {
                return value;
            }

            await Task.Delay(20);
        }

        throw new TimeoutException($"{name} shows nothing.");
    }
}
