using System.Net;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Orleans.Dashboard;
using Orleans.Providers;
using Orleans.Runtime.Hosting;
using Orleans.Runtime.MembershipService;
using Orleans.Storage;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.Stopping;
using Recognize.Orleans.Operations;
using Recognize.Orleans.State;
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
        silo.Services.AddSingleton<LocalSilo>();
        silo.Services.AddSingleton<ILocalSiloDetails>(services => services.GetRequiredService<LocalSilo>());
        silo.Services.AddSingleton(services => services.GetRequiredService<LocalSilo>().Identity);
        silo.Services.AddSingleton<IFatalErrorHandler>(services => services.GetRequiredService<ServiceStop>());
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
            // There is only one silo, so its membership needs no table.
            silo.UseDevelopmentClustering(new IPEndPoint(settings.Silo.AdvertisedAddress, settings.Silo.Port));
        }
        else
        {
            silo.UseAdoNetClustering(options =>
            {
                options.Invariant = database.Invariant;
                options.DataSource = database.DataSource;
            });
            silo.Services.AddSingleton(services => new LeavingTable(ActivatorUtilities.CreateInstance<AdoNetClusteringTable>(services), services.GetRequiredService<IOptions<ClusterMembershipOptions>>()));
            silo.Services.AddSingleton<IMembershipTable>(services => services.GetRequiredService<LeavingTable>());
            silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(services => services.GetRequiredService<LeavingTable>());
        }

        silo.AddRecognizeStorage(database, settings.Storage.GroupCommit);
        silo.Configure<ClusterMembershipOptions>(options =>
        {
            // A killed silo is noticed in under 3 s; the defaults take 12 s. A silo that is frozen, or whose network is
            // silent, keeps its connections: no vote counts until nothing came over them for MaxProbeTimeout times
            // NumMissedProbesLimit, 3.6 s. By default MaxProbeTimeout is four times ProbeTimeout, which made it 12 s.
            // Do not go much lower: on an overloaded machine a live silo can be silent for 3 s.
            options.ProbeTimeout = TimeSpan.FromSeconds(1);
            options.MaxProbeTimeout = TimeSpan.FromSeconds(1.2);
            options.NumMissedProbesLimit = 3;
            options.TableRefreshTimeout = TimeSpan.FromSeconds(5);

            // A starting silo waits for the silos that the table shows as alive. When all were killed and come back
            // under other addresses, no silo is left to declare the old ones dead. So their sign of life must expire
            // soon (after three times this).
            options.IAmAliveTablePublishTimeout = Times.SignOfLife;

            // Orleans compares the start of a joining silo, by its machine's clock, with the service's clock. A silo
            // whose machine's clock was set back would be declared dead while it joins, even by itself. A silo that
            // never joins is harmless.
            options.EvictWhenMaxJoinAttemptTimeExceeded = false;
        });

        // A call that takes longer is answered 503.
        silo.Configure<SiloMessagingOptions>(options => options.ResponseTimeout = Times.ResponseTimeout);
        silo.AddDashboard(options =>
        {
            options.HideTrace = true;

            // Each sample visits every activation: with 100,000 of them, a sample every five seconds took 7 % of the
            // CPU of a busy silo.
            options.CounterUpdateIntervalMs = 15_000;
        });
        return silo;
    }

    /// <summary>Registers what the service's grains need.</summary>
    public static void AddRecognizeGrains(this IServiceCollection services, Settings settings)
    {
        services.AddSingleton(settings);
        services.AddSingleton<StorageMetrics>();
        services.AddSingleton<OperationMetrics>();
        services.AddSingleton<IAlertedCounters>(provider => provider.GetRequiredService<OperationMetrics>());
        services.AddSingleton<OperationNumbers>();
        services.AddSingleton<UserMigration>();

        // Checked once a minute, which is the default, an activation could stay for twice its age.
        services.Configure<GrainCollectionOptions>(options => options.CollectionQuantum = TimeSpan.FromSeconds(10));
    }

    /// <summary>
    /// Registers the storage of the grains' state. Both storages read and continue each other's rows.
    /// </summary>
    public static void AddRecognizeStorage(this ISiloBuilder silo, Database database, bool groupCommit)
    {
        var services = silo.Services;
        services.AddSingleton<Freshness>();
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<StorageFaults>(provider, database));
        services.AddSingleton<DatabaseHealth>();
        services.AddSingleton<GroupCommitLimits>();
        services.TryAddSingleton(WriteGuard.None);
        services.AddSingleton<IRowStore>(provider => new ObservedRowStore(
            database.CreateRowStore(
                provider.GetRequiredService<IOptions<ClusterOptions>>().Value.ServiceId,
                provider.GetService<SiloIdentity>(),
                provider.GetRequiredService<TimeProvider>()),
            database.Engine,
            provider.GetRequiredService<StorageMetrics>()));
        services.AddSingleton<RowReader>();
        services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(provider => provider.GetRequiredService<RowReader>());
        services.AddSingleton(provider => ActivatorUtilities.CreateInstance<OperationHistory>(provider, database));
        var serializer = new StateSerializer(StateJson.Stored);
        if (groupCommit)
        {
            services.AddGrainStorage(ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME, (provider, _) =>
            {
                var storage = ActivatorUtilities.CreateInstance<GroupCommitStorage>(provider, serializer);
                provider.GetRequiredService<StorageMetrics>().ObserveQueue(() => storage.Queued);
                return storage;
            });
        }
        else
        {
            services.AddGrainStorage(
                ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME,
                (provider, name) => new StockStorage(NewStock(provider, name, database, serializer), database, provider.GetRequiredService<StorageFaults>()));
        }
    }

    private static AdoNetGrainStorage NewStock(IServiceProvider services, string name, Database database, StateSerializer serializer)
    {
        var options = new AdoNetGrainStorageOptions
        {
            Invariant = database.Invariant,
            DataSource = database.DataSource,
            GrainStorageSerializer = serializer,

            // Only a tombstone that is due is cleared, and such a row holds nothing.
            DeleteStateOnClear = true,
        };
        return ActivatorUtilities.CreateInstance<AdoNetGrainStorage>(services, Options.Create(options), name);
    }
}
