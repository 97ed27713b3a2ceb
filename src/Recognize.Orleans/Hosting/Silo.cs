using System.Net;
using System.Text.Json.Serialization.Metadata;
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
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Hosting;

/// <summary>The Orleans silo in this process.</summary>
internal static class Silo
{
    public static ISiloBuilder AddRecognize(this ISiloBuilder silo, Settings settings)
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

        if (settings.Storage.Engine is StorageEngine.Sqlite)
        {
            // There is only one silo, so its membership needs no table.
            silo.UseDevelopmentClustering(new IPEndPoint(settings.Silo.AdvertisedAddress, settings.Silo.Port));
        }
        else
        {
            silo.UseAdoNetClustering(options => options.Configure<Database>((clustering, database) =>
            {
                clustering.Invariant = database.Invariant;
                clustering.DataSource = database.DataSource;
            }));
            silo.Services.AddSingleton(services => new LeavingTable(ActivatorUtilities.CreateInstance<AdoNetClusteringTable>(services), services.GetRequiredService<IOptions<ClusterMembershipOptions>>()));
            silo.Services.AddSingleton<IMembershipTable>(services => services.GetRequiredService<LeavingTable>());
            silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(services => services.GetRequiredService<LeavingTable>());
        }

        silo.AddRecognizeStorage(settings.Storage.GroupCommit);
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

    /// <summary>
    /// Registers the storage of the grains' state. Both storages read and continue each other's rows.
    /// </summary>
    public static void AddRecognizeStorage(this ISiloBuilder silo, bool groupCommit)
    {
        var services = silo.Services;
        services.AddSingleton<Freshness>();
        services.AddSingleton<DatabaseHealth>();
        services.AddSingleton<IJsonTypeInfoResolver>(ProbeJson.Default);
        services.AddSingleton<StateSerializer>();
        services.AddSingleton<StorageMetrics>();
        services.AddSingleton<StorageFaults>();
        services.AddSingleton<GroupCommitLimits>();
        services.TryAddSingleton(WriteGuard.None);
        services.AddSingleton<IRowStore>(provider =>
        {
            var database = provider.GetRequiredService<Database>();
            return new ObservedRowStore(
                database.CreateRowStore(
                    provider.GetRequiredService<IOptions<ClusterOptions>>().Value.ServiceId,
                    provider.GetService<SiloIdentity>(),
                    provider.GetRequiredService<TimeProvider>()),
                database.Engine,
                provider.GetRequiredService<StorageMetrics>());
        });
        services.AddSingleton<RowReader>();
        services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(provider => provider.GetRequiredService<RowReader>());
        if (groupCommit)
        {
            services.AddGrainStorage(ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME, (provider, _) =>
            {
                var storage = ActivatorUtilities.CreateInstance<GroupCommitStorage>(provider, provider.GetRequiredService<StateSerializer>());
                provider.GetRequiredService<StorageMetrics>().ObserveQueue(() => storage.Queued);
                return storage;
            });
        }
        else
        {
            services.AddGrainStorage(
                ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME,
                (provider, name) => ActivatorUtilities.CreateInstance<StockStorage>(provider, NewStock(provider, name)));
        }
    }

    private static AdoNetGrainStorage NewStock(IServiceProvider services, string name)
    {
        var database = services.GetRequiredService<Database>();
        var options = new AdoNetGrainStorageOptions
        {
            Invariant = database.Invariant,
            DataSource = database.DataSource,
            GrainStorageSerializer = services.GetRequiredService<StateSerializer>(),

            // Only a tombstone that is due is cleared, and such a row holds nothing.
            DeleteStateOnClear = true,
        };
        return ActivatorUtilities.CreateInstance<AdoNetGrainStorage>(services, Options.Create(options), name);
    }
}
