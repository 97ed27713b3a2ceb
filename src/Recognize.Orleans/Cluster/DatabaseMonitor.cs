using System.Data.Common;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Cluster;

/// <summary>
/// Checks the database once a second: sets the service's clock by it, and closes the fence if the silo is dead to its
/// cluster or another cluster has taken the service over. Every five seconds it writes the cluster's heartbeat and
/// tries a write.
/// </summary>
internal sealed partial class DatabaseMonitor(
    Database database,
    ServiceClock clock,
    SiloIdentity silo,
    ISiloStatusOracle silos,
    IFence fence,
    Freshness freshness,
    DatabaseHealth health,
    WriteProbe probe,
    ClusterSettings settings,
    ILogger<DatabaseMonitor> logger) : BackgroundService
{
    private static readonly TimeSpan LongestWrite = TimeSpan.FromSeconds(5);

    private readonly Throttle writes = new(clock, TimeSpan.FromSeconds(5));
    private Task<DatabaseTrouble?> writing = Task.FromResult<DatabaseTrouble?>(null);
    private bool isNews;
    private LogLevel toldOfClock;

    /// <summary>Checks the database now, which the storage asks for after a refusal. Checks may overlap.</summary>
    public async Task LookAsync(CancellationToken cancellationToken)
    {
        using var timeout = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        timeout.CancelAfter(Times.LongestDatabaseCheck);
        var hasJoined = silos.CurrentStatus is SiloStatus.Active;
        var sent = clock.GetTimestamp();
        var look = await database.LookAsync(settings.ServiceId, silo, timeout.Token).WaitAsync(timeout.Token);
        clock.Measure(sent, clock.GetTimestamp(), look.Now);
        TellOfTheClock();
        if (WhyClosed(look, hasJoined) is { } reason)
        {
            fence.Close(reason);
            return;
        }

        if (look.IsReadOnly)
        {
            // After a failover this may be the old server. New sessions let the next check find the current one.
            database.DropSessions();
            throw new ReadOnlyException();
        }

        freshness.DatabaseAnswered(sent);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (clock.StartedFarAhead)
        {
            Log.StartedFarAhead(logger, clock.GetUtcNow(), ServiceClock.LongestPause);
        }

        // Uses the machine's timer, because a test's clock may stand still.
        using var timer = new PeriodicTimer(Times.DatabaseCheck, TimeProvider.System);
        do
        {
            await WatchAsync(stoppingToken);
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    private async Task WatchAsync(CancellationToken stoppingToken)
    {
        if (await TroubleOfAsync(LookAsync, stoppingToken) is { } trouble)
        {
            // What a write meets in an outage is no news, and this node's own trouble is not better because of it.
            isNews = false;
            health.Set(health.Trouble is { IsOfNode: true } own && !trouble.IsOfNode ? own : trouble);
            return;
        }

        if (fence.IsClosed || !writing.IsCompleted)
        {
            return;
        }

        if (isNews)
        {
            health.Set(await writing);
        }

        isNews = writes.IsDue() || health.Trouble is not null;
        if (isNews)
        {
            // Not awaited, so that the checks go on meanwhile.
            writing = TroubleOfAsync(WriteAsync, stoppingToken);
        }
    }

    private async Task WriteAsync(CancellationToken stoppingToken)
    {
        // SQLite blocks the calling thread while it waits for other writers.
        await Task.Run(() => database.RenewClaimAsync(settings.ServiceId, silo.ClusterId, clock.GetUtcNow(), stoppingToken), stoppingToken)
            .WaitAsync(LongestWrite, stoppingToken);
        if (silos.CurrentStatus is SiloStatus.Active)
        {
            await probe.RunAsync().WaitAsync(LongestWrite, stoppingToken);
        }
    }

    private async Task<DatabaseTrouble?> TroubleOfAsync(Func<CancellationToken, Task> work, CancellationToken stoppingToken)
    {
        try
        {
            await work(stoppingToken);
            return null;
        }
        catch (Exception fault)
        {
            return stoppingToken.IsCancellationRequested || fence.IsClosed ? health.Trouble : TroubleOf(fault);
        }
    }

    private DatabaseTrouble TroubleOf(Exception fault)
    {
        Log.Failed(logger, fault);
        return (fault, database.Classify(fault)) switch
        {
            (ReadOnlyException, _) => new("the database is read-only", IsOfNode: false),
            (StorageFaultException write, _) => new($"a write failed ({write.Message})", write.IsOfNode),
            (_, FaultScope.Node) => new($"the database refuses this node ({fault.Message})", IsOfNode: true),
            (_, FaultScope.Statement) => new($"the database did not do what it was asked ({fault.Message})", IsOfNode: false),
            (_, var scope) => Silence(scope),
        };
    }

    private DatabaseTrouble Silence(FaultScope scope)
    {
        if (scope is FaultScope.Session)
        {
            database.DropSessions();
        }
        else
        {
            // Nobody knows which of the idle connections are dead.
            database.DropIdle();
        }

        return new("the database does not answer", IsOfNode: false);
    }

    private string? WhyClosed(DatabaseStatus look, bool hasJoined)
    {
        if (look.ClusterId is { } owner && owner != silo.ClusterId)
        {
            return $"The cluster {owner} has taken the service {settings.ServiceId} over from the cluster {silo.ClusterId}, of which no sign of life was seen.";
        }

        // A silo that is stopping marks itself dead.
        if (silos.CurrentStatus.IsTerminating())
        {
            return null;
        }

        return look.Status switch
        {
            SiloStatus.Dead => "The other silos have declared this one dead.",
            null when hasJoined => "This silo is gone from OrleansMembershipTable.",
            _ => null,
        };
    }

    // Logged when it begins or gets worse, not with every check.
    private void TellOfTheClock()
    {
        var off = clock.Off;
        var level = off.Duration() > ServiceClock.Unusable ? LogLevel.Error : off.Duration() > ServiceClock.Remarkable ? LogLevel.Warning : LogLevel.Information;
        if (level > toldOfClock && level is LogLevel.Error)
        {
            Log.Unusable(logger, off, ServiceClock.SweepsHeld);
        }
        else if (level > toldOfClock && level is LogLevel.Warning)
        {
            Log.Off(logger, off);
        }

        toldOfClock = level;
    }

    private static partial class Log
    {
        [LoggerMessage(62, LogLevel.Warning, "The database's clock is {Off} away from the service's, which follows it slowly.")]
        public static partial void Off(ILogger logger, TimeSpan off);

        [LoggerMessage(63, LogLevel.Error, "The database's clock is {Off} away from the service's: until that is made up this node is not ready, and nothing is removed for {Held} after it.")]
        public static partial void Unusable(ILogger logger, TimeSpan off, TimeSpan held);

        [LoggerMessage(64, LogLevel.Warning, "It is {Now} by the database's clock, more than {Pause} after the newest time that is stored: if the clock is right, nothing is to be done; nothing is removed for {Pause}.")]
        public static partial void StartedFarAhead(ILogger logger, DateTimeOffset now, TimeSpan pause);

        [LoggerMessage(65, LogLevel.Debug, "A look at the database failed; the next one follows in a second.")]
        public static partial void Failed(ILogger logger, Exception fault);
    }
}

/// <summary>The database, or the server of the session, accepts no writes.</summary>
internal sealed class ReadOnlyException() : DbException("The database is read-only.");

/// <summary>
/// Gives each statement the time, by the database's clock, before which it must begin, and stops a silo that was
/// refused.
/// </summary>
internal sealed class DatabaseGuard(ServiceClock clock, DatabaseMonitor lookout, IFence fence) : WriteGuard
{
    public override DateTime Until => clock.RawNow.UtcDateTime + Times.StatementLife;

    public override async Task<bool> TryMeasureAgainAsync(CancellationToken cancellationToken)
    {
        await lookout.LookAsync(cancellationToken);
        return true;
    }

    public override void Refused() => fence.Close("The database refuses what this silo writes: the other silos have declared it dead, or another cluster has taken its service over.");
}
