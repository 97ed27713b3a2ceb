using System.Diagnostics.Metrics;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations;

/// <summary>Counts what a service's calls make of grain calls, activations and groups of statements.</summary>
internal sealed class CostCounters : IIncomingGrainCallFilter, IDisposable
{
    public static readonly string[] Columns = ["grain calls", "activations", "writes", "reads", "range reads"];

    private readonly MeterListener listener = new();
    private long grainCalls;
    private long activations;
    private long writes;
    private long reads;
    private long ranges;

    public void Watch(WebApplicationBuilder builder) => builder.Host.ConfigureContainer<IServiceCollection>((_, services) =>
    {
        services.AddSingleton<IIncomingGrainCallFilter>(this);
        var rows = services.Last(service => service.ServiceType == typeof(IRowStore));
        services.Remove(rows);
        services.AddSingleton<IRowStore>(provider =>
        {
            Listen(provider.GetRequiredService<IMeterFactory>());
            return new CountedRows((IRowStore)rows.ImplementationFactory!(provider), this);
        });
    });

    /// <summary>In the order of the columns.</summary>
    public long[] Read() => [Volatile.Read(ref grainCalls), Volatile.Read(ref activations), Volatile.Read(ref writes), Volatile.Read(ref reads), Volatile.Read(ref ranges)];

    // Orleans and its dashboard have grains of their own.
    public Task Invoke(IIncomingGrainCallContext context)
    {
        if (context.Grain?.GetType().Assembly == typeof(OperationGrain).Assembly)
        {
            Interlocked.Increment(ref grainCalls);
        }

        return context.Invoke();
    }

    public void Dispose() => listener.Dispose();

    private void Listen(IMeterFactory meters)
    {
        listener.InstrumentPublished = (instrument, owner) =>
        {
            if (instrument.Name is "orleans-catalog-activation-created" && instrument.Meter.Scope == meters)
            {
                owner.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<int>((_, created, _, _) => Interlocked.Add(ref activations, created));
        listener.Start();
    }

    private sealed class CountedRows(IRowStore rows, CostCounters counters) : IRowStore
    {
        public Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref counters.writes);
            return rows.WriteAsync(group, until, cancellationToken);
        }

        public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref counters.reads);
            return rows.ReadAsync(group, cancellationToken);
        }

        public Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref counters.ranges);
            return rows.ReadRangesAsync(group, cancellationToken);
        }

        public ValueTask DisposeAsync() => rows.DisposeAsync();
    }
}
