using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;

namespace Recognize.Orleans.Fixtures;

/// <summary>Waits for a service to count something.</summary>
internal sealed class Measurement : IDisposable
{
    private readonly TaskCompletionSource made = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly MeterListener listener = new();

    public Measurement(TestService service, string name, Func<long, bool> isIt)
    {
        // Other services of this process count too; each has a factory of meters of its own.
        var meters = service.Services.GetRequiredService<IMeterFactory>();
        listener.InstrumentPublished = (instrument, owner) =>
        {
            if (instrument.Name == name && instrument.Meter.Scope == meters)
            {
                owner.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((_, change, _, _) =>
        {
            if (isIt(change))
            {
                made.TrySetResult();
            }
        });
        listener.Start();
    }

    /// <summary>Completes when it has been counted since this object was made.</summary>
    public Task MadeAsync() => made.Task.WaitAsync(ClusterFixture.Patience);

    public void Dispose() => listener.Dispose();
}
