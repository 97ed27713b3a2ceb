using System.Diagnostics.Metrics;
using Recognize.Orleans.Cluster;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// Counts the pending operations of the whole service for the metrics, once a minute and on one silo: it is a look at a
/// whole index. Nothing is counted while no exporter listens.
/// </summary>
internal sealed class PendingCount : BackgroundService
{
    private static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    // How often a silo sees whether it is the one that counts.
    private static readonly TimeSpan Look = TimeSpan.FromSeconds(5);

    private readonly OperationHistory history;
    private readonly ISiloStatusOracle silos;
    private readonly TimeProvider clock;
    private readonly Instrument gauge;
    private (long Count, bool IsKnown) last;

    public PendingCount(OperationHistory history, ISiloStatusOracle silos, OperationMetrics metrics, TimeProvider clock)
    {
        this.history = history;
        this.silos = silos;
        this.clock = clock;
        gauge = metrics.ObservePending(() => last is { IsKnown: true, Count: var count } ? count : null);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var counted = DateTimeOffset.MinValue;
        while (true)
        {
            if (!gauge.Enabled || !silos.IsFirst())
            {
                last = default;
            }
            else if (!last.IsKnown || clock.GetUtcNow() - counted >= Interval)
            {
                last = await CountAsync(stoppingToken);
                counted = clock.GetUtcNow();
            }

            await Task.Delay(Look, clock, stoppingToken);
        }
    }

    private async Task<(long Count, bool IsKnown)> CountAsync(CancellationToken stoppingToken)
    {
        try
        {
            return (await history.CountPendingAsync(stoppingToken), true);
        }
        catch (Exception)
        {
            // The database is away, which others report, or the service stops. What is not known is not told.
            return default;
        }
    }
}
