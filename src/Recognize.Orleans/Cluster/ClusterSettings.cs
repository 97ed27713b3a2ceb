using System.Net;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Cluster;

internal sealed record SiloSettings
{
    public required int Port { get; init; }

    public required int GatewayPort { get; init; }

    public required IPAddress AdvertisedAddress { get; init; }

    public required string Name { get; init; }

    public required TimeSpan DrainDelay { get; init; }

    public static SiloSettings Read(SettingsReader reader)
    {
        var settings = new SiloSettings
        {
            Port = reader.Number("Recognize:Silo:Port", 11_111, 1, 65_535),
            GatewayPort = reader.Number("Recognize:Silo:GatewayPort", 0, 0, 65_535),
            AdvertisedAddress = reader.Address("Recognize:Silo:AdvertisedAddress", IPAddress.Loopback),
            Name = reader.Name("Recognize:Silo:Name", Dns.GetHostName(), 100),
            DrainDelay = reader.Duration("Recognize:Silo:DrainDelay", TimeSpan.FromSeconds(5), TimeSpan.Zero, TimeSpan.FromMinutes(5)),
        };
        if (settings.AdvertisedAddress.Equals(IPAddress.Any) || settings.AdvertisedAddress.Equals(IPAddress.IPv6Any))
        {
            reader.AddError($"Recognize:Silo:AdvertisedAddress must be the address by which other silos reach this one, not {settings.AdvertisedAddress}.");
        }

        return settings;
    }
}

internal sealed record ClusterSettings
{
    public required string ClusterId { get; init; }

    public required string ServiceId { get; init; }

    public static ClusterSettings Read(SettingsReader reader) => new()
    {
        ClusterId = reader.Name("Recognize:Cluster:ClusterId", "recognize", 64),
        ServiceId = reader.Name("Recognize:Cluster:ServiceId", "recognize", 64),
    };
}
