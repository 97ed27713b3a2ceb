using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>Three processes on one database behind the load balancer of docker-compose.yml.</summary>
public sealed class BalancedSilos : IAsyncLifetime
{
    private static readonly string[] Names = ["silo-1", "silo-2", "silo-3"];

    private readonly string drainDelay;
    private TestDatabase? database;
    private ServiceProcess[] silos = [];
    private Nginx? balancer;

    public BalancedSilos()
        : this("00:00:00")
    {
    }

    private BalancedSilos(string drainDelay) => this.drainDelay = drainDelay;

    internal IReadOnlyList<ServiceProcess> Silos => silos;

    internal Nginx Balancer
    {
        get
        {
            Skip.If(balancer is null, WhyUnavailable);
            return balancer!;
        }
    }

    /// <summary>A client that knows the load balancer only.</summary>
    internal ApiClient Api => new(Balancer.Url, ServiceProcess.Key);

    private static string? WhyUnavailable => Nginx.WhyUnavailable ?? TestDatabase.WhyUnavailable(StorageEngine.PostgreSql);

    /// <summary>Three for one test alone; skips it where they cannot run.</summary>
    internal static async Task<BalancedSilos> StartAsync(string drainDelay = "00:00:00")
    {
        Skip.If(WhyUnavailable is not null, WhyUnavailable);
        var started = new BalancedSilos(drainDelay);
        await started.InitializeAsync();
        return started;
    }

    /// <summary>The name of the silo that an answer comes from, as the load balancer saw it.</summary>
    internal string SiloOf(Answer answer)
    {
        var address = answer[Nginx.Asked]!.Split(", ")[^1];
        return silos.Single(silo => silo.ApiUrl.Authority == address).Name;
    }

    /// <summary>Stops a silo in order, starts it again at the same addresses and waits until it is ready.</summary>
    internal async Task RestartAsync(int number)
    {
        var former = silos[number];
        await former.TerminateAsync();
        Assert.Equal(0, await former.ExitAsync());
        silos[number] = await ServiceProcess.StartInPlaceOfAsync(former, database!, ("Recognize:Silo:DrainDelay", drainDelay));
        await silos[number].ReadyAsync();
        await former.DisposeAsync();
    }

    public async Task InitializeAsync()
    {
        if (WhyUnavailable is null)
        {
            database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
            silos = await ServiceProcess.StartAsync(database, Names, ("Recognize:Silo:DrainDelay", drainDelay));
            balancer = await Nginx.StartAsync([.. silos.Select(silo => silo.ApiUrl)]);
        }
    }

    public async Task DisposeAsync()
    {
        if (balancer is not null)
        {
            await balancer.DisposeAsync();
        }

        await Task.WhenAll(silos.Select(silo => silo.DisposeAsync().AsTask()));
        if (database is not null)
        {
            await database.DisposeAsync();
        }
    }
}
