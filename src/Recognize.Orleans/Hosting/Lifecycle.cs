using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.Stopping;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage.Sqlite;

namespace Recognize.Orleans.Hosting;

/// <summary>
/// Logs the start, the stop and the silos that join or leave, and lets traffic drain away before anything stops.
/// </summary>
internal sealed partial class Lifecycle(
    Settings settings,
    IServer server,
    ISiloStatusOracle silos,
    FrontEndWaits waits,
    IHostEnvironment environment,
    ServiceStop stop,
    Listeners listeners,
    IEnumerable<IAlertedCounters> counters,
    TimeProvider clock,
    ILogger<Lifecycle> logger) : IHostedLifecycleService, ISiloStatusListener
{
    private readonly Departures departures = new();

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken)
    {
        // Those that are ending or have ended already are no news.
        foreach (var (silo, status) in silos.GetApproximateSiloStatuses())
        {
            departures.Note(silo, status);
        }

        silos.SubscribeToSiloStatusEvents(this);
        foreach (var alerted in counters)
        {
            alerted.Begin();
        }

        var addresses = server.Features.GetRequiredFeature<IServerAddressesFeature>().Addresses;
        var management = settings.Management.Urls.Select(url => url.Port).ToHashSet();
        var api = string.Join(" ", addresses.Where(address => !management.Contains(BindingAddress.Parse(address).Port)));
        Log.Started(logger, ServiceHost.Version, settings.Silo.Name, api, string.Join(" ", settings.Management.Urls), settings.Storage.Engine, settings.Silo.AdvertisedAddress, settings.Silo.Port);

        if (!settings.Management.ServesDashboard)
        {
            Log.NoDashboard(logger);
        }

        if (settings.Storage.Engine is not StorageEngine.Sqlite && System.Net.IPAddress.IsLoopback(settings.Silo.AdvertisedAddress))
        {
            Log.LoopbackSilo(logger, settings.Silo.AdvertisedAddress);
        }

        if (settings.Storage.Engine is StorageEngine.Sqlite
            && SqliteFiles.OpenToOthers(SqliteDatabase.FileOf(settings.Storage.ConnectionString)) is { Count: > 0 } open)
        {
            Log.OpenToOthers(logger, string.Join(' ', open));
        }

        if (DemoCustomer.IsOffered(environment, settings.IsLocalOnly))
        {
            var url = api.Split(' ')[0];
            Log.Demo(logger, OperationScopes.Decisions.DemoKey, $"curl -X POST {url}/v2/users/A1B2C3D4E5F6/operations -H 'X-Api-Key: {OperationScopes.Operations.DemoKey}' -H 'Content-Type: application/json' -d '{{\"operationId\":\"txn-1\"}}'");
        }

        return Task.CompletedTask;
    }

    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        // Readiness is false by now, and the load balancer needs time to see it. Until then every request is served as
        // usual, unless this node may not write any more.
        if (!stop.IsClosed)
        {
            Log.Stopping(logger, settings.Silo.DrainDelay);
        }

        await Task.WhenAny(stop.Hastened, DrainAsync(cancellationToken));
        waits.Stop();
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            stop.TellCutOff();
        }
        else
        {
            Log.Stopped(logger);
        }

        return Task.CompletedTask;
    }

    public void SiloStatusChangeNotification(SiloAddress updatedSilo, SiloStatus status)
    {
        if (updatedSilo.Equals(silos.SiloAddress))
        {
            return;
        }

        var name = silos.TryGetSiloName(updatedSilo, out var known) ? known : "?";
        if (status is SiloStatus.Active)
        {
            Log.Joined(logger, name, updatedSilo);
        }

        switch (departures.Note(updatedSilo, status))
        {
            case Departure.Left:
                Log.Left(logger, name, updatedSilo);
                waits.WakeAll();
                break;
            case Departure.Lost:
                Log.Lost(logger, name, updatedSilo);
                waits.WakeAll();
                break;
        }
    }

    private async Task DrainAsync(CancellationToken cancellationToken)
    {
        await Task.Delay(settings.Silo.DrainDelay, clock, cancellationToken);
        if (settings.Silo.DrainDelay > TimeSpan.Zero && !stop.Hastened.IsCompleted)
        {
            listeners.IgnoreNewConnections();
            await Task.Delay(Listeners.LastCall, clock, cancellationToken);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(20, LogLevel.Information, "Recognize.Orleans {Version} started as node {Name}: API {Api}, management {Management}, storage {Engine}, silo {Address}:{Port}.")]
        public static partial void Started(ILogger logger, string version, string name, string api, string management, StorageEngine engine, System.Net.IPAddress address, int port);

        [LoggerMessage(21, LogLevel.Information, "Try it with the demo customer, whose other key is {ApproverKey}: {Curl}")]
        public static partial void Demo(ILogger logger, string approverKey, string curl);

        [LoggerMessage(22, LogLevel.Warning, "The dashboard is off: other machines reach the management port, and Recognize:Management:Password is not set.")]
        public static partial void NoDashboard(ILogger logger);

        [LoggerMessage(23, LogLevel.Warning, "The silo listens on {Address}, so that only silos on this machine can join it; Recognize:Silo:AdvertisedAddress is the address for others.")]
        public static partial void LoopbackSilo(ILogger logger, System.Net.IPAddress address);

        [LoggerMessage(30, LogLevel.Warning, "Other users of this machine may read or write the database, payloads included, or lock it. Unless that is meant: chmod 600 {Files}")]
        public static partial void OpenToOthers(ILogger logger, string files);

        [LoggerMessage(24, LogLevel.Information, "Stopping: not ready any more, serving for {DrainDelay} while traffic drains away.")]
        public static partial void Stopping(ILogger logger, TimeSpan drainDelay);

        [LoggerMessage(25, LogLevel.Information, "Stopped.")]
        public static partial void Stopped(ILogger logger);

        [LoggerMessage(26, LogLevel.Information, "Silo {Name} ({Address}) joined.")]
        public static partial void Joined(ILogger logger, string name, SiloAddress address);

        [LoggerMessage(31, LogLevel.Information, "Silo {Name} ({Address}) left.")]
        public static partial void Left(ILogger logger, string name, SiloAddress address);

        [LoggerMessage(27, LogLevel.Warning, "Silo {Name} ({Address}) is gone.")]
        public static partial void Lost(ILogger logger, string name, SiloAddress address);
    }
}
