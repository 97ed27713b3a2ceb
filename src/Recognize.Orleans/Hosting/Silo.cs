using System.Net;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Dashboard;
using Orleans.Providers;
using Orleans.Runtime.Hosting;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Hosting;

/// <summary>The Orleans silo in this process.</summary>
internal static class Silo
{
    public static ISiloBuilder AddRecognize(this ISiloBuilder silo, Settings settings, Database database)
    {
        silo.Configure<ClusterOptions>(options =>
        {
            options.ClusterId = settings.Cluster.ClusterId;
            options.ServiceId = settings.Cluster.ServiceId;
        });
        silo.Configure<SiloOptions>(options => options.SiloName = settings.Silo.Name);
        silo.Configure<EndpointOptions>(options =>
        {
            options.AdvertisedIPAddress = settings.Silo.AdvertisedAddress;
            options.SiloPort = settings.Silo.Port;
            options.SiloListeningEndpoint = new(settings.Silo.AdvertisedAddress, settings.Silo.Port);
            options.GatewayPort = settings.Silo.GatewayPort;
            options.GatewayListeningEndpoint = settings.Silo.GatewayPort == 0 ? null : new(settings.Silo.AdvertisedAddress, settings.Silo.GatewayPort);
        });

        if (database.Engine is StorageEngine.Sqlite)
        {
            // One silo: its membership needs no table.
            silo.UseDevelopmentClustering(new IPEndPoint(settings.Silo.AdvertisedAddress, settings.Silo.Port));
        }
        else
        {
            silo.UseAdoNetClustering(options =>
            {
                options.Invariant = database.Invariant;
                options.DataSource = database.DataSource;
            });
        }

        silo.AddRecognizeStorage(database, settings.Storage.GroupCommit);
        silo.Configure<ClusterMembershipOptions>(options =>
        {
            // A killed silo is noticed in under three seconds; the defaults take twelve.
            options.ProbeTimeout = TimeSpan.FromSeconds(1);
            options.NumMissedProbesLimit = 3;
            options.TableRefreshTimeout = TimeSpan.FromSeconds(5);

            // A silo that starts waits for those that the table shows as alive. When all were killed and come back under other
            // addresses nobody is left to declare them dead: their sign of life must grow old soon (three times this).
            options.IAmAliveTablePublishTimeout = TimeSpan.FromSeconds(5);
        });

        // Nothing here takes ten seconds but a database or a silo that does not answer, which is a 503.
        silo.Configure<SiloMessagingOptions>(options => options.ResponseTimeout = TimeSpan.FromSeconds(10));
        silo.AddDashboard(options =>
        {
            options.HideTrace = true;

            // Each sample walks over every activation: with 100,000 of them one in five seconds was 7 % of the CPU of a busy silo.
            options.CounterUpdateIntervalMs = 15_000;
        });
        return silo;
    }

    /// <summary>What the grains of the service need of their container.</summary>
    public static void AddRecognizeGrains(this IServiceCollection services, Settings settings)
    {
        services.AddSingleton(settings);
        services.AddSingleton<Metrics>();
        services.AddSingleton<OperationNumbers>();
    }

    /// <summary>Where grains keep their state; both storages read and go on with each other's rows.</summary>
    public static void AddRecognizeStorage(this ISiloBuilder silo, Database database, bool groupCommit)
    {
        silo.Services.AddSingleton(services => new OperationHistory(database, services.GetRequiredService<IOptions<ClusterOptions>>()));
        if (groupCommit)
        {
            silo.Services.AddGrainStorage(ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME, (services, _) => new GroupCommitStorage(
                database,
                services.GetRequiredService<IOptions<ClusterOptions>>().Value,
                new StateSerializer(),
                new GroupCommitLimits(),
                services.GetRequiredService<TimeProvider>()));
            return;
        }

        silo.AddAdoNetGrainStorageAsDefault(options =>
        {
            options.Invariant = database.Invariant;
            options.DataSource = database.DataSource;
            options.GrainStorageSerializer = new StateSerializer();

            // What is cleared is a tombstone whose time has come, or a user without an operation: rows that hold nothing.
            options.DeleteStateOnClear = true;
        });
    }
}
