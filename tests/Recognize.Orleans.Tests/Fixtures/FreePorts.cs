using System.Net;
using System.Net.Sockets;

namespace Recognize.Orleans.Fixtures;

/// <summary>Ports that nobody listens on.</summary>
internal static class FreePorts
{
    // Below the range from which the system takes the ports of outgoing connections, and never the same twice in a process.
    private static int last = 18_000 + Random.Shared.Next(6_000);

    public static int Next()
    {
        while (true)
        {
            var port = Interlocked.Increment(ref last);
            try
            {
                using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                probe.Bind(new IPEndPoint(IPAddress.Any, port));
                probe.Listen();
                return port;
            }
            catch (SocketException fault) when (fault.SocketErrorCode is SocketError.AddressAlreadyInUse)
            {
            }
        }
    }
}
