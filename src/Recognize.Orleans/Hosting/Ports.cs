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
        if (IsTaken(silo.AdvertisedAddress, silo.Port, out var reason))
        {
            yield return $"Recognize:Silo:Port {silo.Port} cannot be opened on {silo.AdvertisedAddress}: {reason}";
        }

        if (silo.GatewayPort != 0 && IsTaken(silo.AdvertisedAddress, silo.GatewayPort, out reason))
        {
            yield return $"Recognize:Silo:GatewayPort {silo.GatewayPort} cannot be opened on {silo.AdvertisedAddress}: {reason}";
        }

        foreach (var url in settings.ApiUrls)
        {
            if (IsTaken(AddressOf(url), url.Port, out reason))
            {
                yield return $"The API's URL {url} (--urls or ASPNETCORE_URLS) cannot be opened: {reason}";
            }
        }

        foreach (var url in settings.Management.Urls)
        {
            if (IsTaken(AddressOf(url), url.Port, out reason))
            {
                yield return $"The management URL {url} (Recognize:Management:Port or :Urls) cannot be opened: {reason}";
            }
        }
    }

    private static IPAddress AddressOf(BindingAddress url) =>
        IPAddress.TryParse(url.Host.Trim('[', ']'), out var address) ? address : Urls.IsLoopback(url) ? IPAddress.Loopback : IPAddress.Any;

    private static bool IsTaken(IPAddress address, int port, out string reason)
    {
        reason = "";
        if (port == 0)
        {
            return false;
        }

        try
        {
            using var probe = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            probe.Bind(new IPEndPoint(address, port));
            probe.Listen();
            return false;
        }
        catch (SocketException exception)
        {
            reason = exception.SocketErrorCode is SocketError.AddressAlreadyInUse
                ? "another process uses it. Stop that process or choose another port."
                : exception.Message;
            return true;
        }
    }
}
