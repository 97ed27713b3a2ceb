using System.Net;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Cluster;

/// <summary>
/// The silo's own address and name, with a generation from the service's clock. Orleans would take it from the
/// machine's clock: a silo that restarts after that clock was set back would find a newer silo at its address and give
/// way to it.
/// </summary>
internal sealed class LocalSilo : ILocalSiloDetails
{
    private static readonly DateTimeOffset Epoch = new(2022, 1, 1, 0, 0, 0, TimeSpan.Zero);

    public LocalSilo(SiloSettings silo, ClusterSettings cluster, ServiceClock clock)
    {
        Name = silo.Name;
        ClusterId = cluster.ClusterId;
        SiloAddress = SiloAddress.New(silo.AdvertisedAddress, silo.Port, (int)(clock.GetUtcNow() - Epoch).TotalSeconds);
        GatewayAddress = silo.GatewayPort == 0 ? null! : SiloAddress.New(silo.AdvertisedAddress, silo.GatewayPort, 0);
        Identity = new(ClusterId, SiloAddress.Endpoint.Address.ToString(), SiloAddress.Endpoint.Port, SiloAddress.Generation);
    }

    public string Name { get; }

    public string DnsHostName { get; } = Dns.GetHostName();

    public string ClusterId { get; }

    public SiloAddress SiloAddress { get; }

    public SiloAddress GatewayAddress { get; }

    public SiloIdentity Identity { get; }
}
