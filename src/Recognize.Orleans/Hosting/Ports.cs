using System.Net;
using System.Net.Sockets;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting;

/// <summary>Refuses ports that are already taken, before anything binds them.</summary>
internal static class Ports
{
    // Orleans shares a port with any other process that has it (SO_REUSEPORT): two services would each answer half of
    // the calls.
    public static IEnumerable<string> ErrorsIn(Settings settings)
    {
        var silo = settings.Silo;
        IEnumerable<(IPAddress Address, int Port, string Use)> uses =
        [
            (silo.AdvertisedAddress, silo.Port, $"Recognize:Silo:Port {silo.Port} cannot be opened on {silo.AdvertisedAddress}"),
            (silo.AdvertisedAddress, silo.GatewayPort, $"Recognize:Silo:GatewayPort {silo.GatewayPort} cannot be opened on {silo.AdvertisedAddress}"),
            .. settings.ApiUrls.Select(url => (AddressOf(url), url.Port, $"The API's URL {url} (--urls or ASPNETCORE_URLS) cannot be opened")),
            .. settings.Management.Urls.Select(url => (AddressOf(url), url.Port, $"The management URL {url} (Recognize:Management:Port or :Urls) cannot be opened")),
        ];
        return uses.Where(use => use.Port != 0).Select(use => WhyTaken(use.Address, use.Port) is { } reason ? $"{use.Use}: {reason}" : null).OfType<string>();
    }

    private static IPAddress AddressOf(BindingAddress url) =>
        IPAddress.TryParse(url.Host.Trim('[', ']'), out var address) ? address : Urls.IsLoopback(url) ? IPAddress.Loopback : IPAddress.Any;

    private static string? WhyTaken(IPAddress address, int port)
    {
        try
        {
            using var probe = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            probe.Bind(new IPEndPoint(address, port));
            probe.Listen();
            return null;
        }
        catch (SocketException exception)
        {
            return exception.SocketErrorCode is SocketError.AddressAlreadyInUse ? "another process uses it. Stop that process or choose another port." : exception.Message;
        }
    }
}
