using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace Recognize.Orleans.Hosting.Stopping;

/// <summary>
/// The sockets that the web server listens with. Before a stop they take no new connection: a load balancer cannot retry
/// a POST that was lost with its connection, because the node may have executed it.
/// </summary>
internal sealed class Listeners
{
    /// <summary>
    /// How long, after the drain delay, no new connection is accepted before the stop: enough to read and answer the
    /// requests on the last ones.
    /// </summary>
    public static readonly TimeSpan LastCall = TimeSpan.FromMilliseconds(500);

    // SOL_SOCKET and SO_ATTACH_FILTER.
    private const int SocketLevel = 1;
    private const int AttachFilter = 26;

    // A filter over the TCP header (https://docs.kernel.org/networking/filter.html): drops a packet with SYN and
    // without ACK, which asks for a new connection, and lets all others pass.
    private static readonly FilterInstruction[] DropsSyn =
    [
        new(0x30, 0, 0, 13),
        new(0x54, 0, 0, 0x12),
        new(0x15, 0, 1, 0x02),
        new(0x06, 0, 0, 0),
        new(0x06, 0, 0, uint.MaxValue),
    ];

    private readonly List<Socket> sockets = [];

    /// <summary>Creates a socket that the web server listens with.</summary>
    public Socket Bind(EndPoint address)
    {
        var listener = SocketTransportOptions.CreateDefaultBoundListenSocket(address);
        lock (sockets)
        {
            sockets.Add(listener);
        }

        return listener;
    }

    /// <summary>
    /// Leaves new connection requests unanswered. When a listener is closed, Linux resets the connections that are
    /// established and not yet accepted by the server. An unanswered client asks again a second later and is refused,
    /// and a load balancer then sends to another node.
    /// </summary>
    public void IgnoreNewConnections()
    {
        if (!OperatingSystem.IsLinux())
        {
            return;
        }

        var pinned = GCHandle.Alloc(DropsSyn, GCHandleType.Pinned);
        try
        {
            var program = new FilterProgram((ushort)DropsSyn.Length, pinned.AddrOfPinnedObject());
            lock (sockets)
            {
                sockets.ForEach(listener => listener.SetRawSocketOption(SocketLevel, AttachFilter, MemoryMarshal.AsBytes(new ReadOnlySpan<FilterProgram>(in program))));
            }
        }
        catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
        {
            // A sandbox without socket filters, or a server that has already stopped: connections are accepted to the
            // end.
        }
        finally
        {
            pinned.Free();
        }
    }

    private readonly record struct FilterInstruction(ushort Code, byte IfTrue, byte IfFalse, uint Operand);

    private readonly record struct FilterProgram(ushort Length, nint Instructions);
}

internal static class DrainingExtensions
{
    public static void AddDraining(this IServiceCollection services)
    {
        services.AddSingleton<Listeners>();
        services.AddOptions<SocketTransportOptions>().Configure<Listeners>((options, listeners) => options.CreateBoundListenSocket = listeners.Bind);
    }

    /// <summary>
    /// From the signal to stop on, every answer is the last of its connection and says so: <c>Connection: close</c>,
    /// GOAWAY in HTTP/2. Otherwise a load balancer could send a request on an idle connection at the moment when the
    /// node closes it.
    /// </summary>
    public static IApplicationBuilder UseDraining(this IApplicationBuilder app)
    {
        var stopping = app.ApplicationServices.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;
        return app.Use((context, next) =>
        {
            // Checked when the answer begins, not the request: a parked wait may have begun before the stop.
            context.Response.OnStarting(CloseWhenStopping, context);
            return next(context);
        });

        Task CloseWhenStopping(object context)
        {
            if (stopping.IsCancellationRequested)
            {
                ((HttpContext)context).Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
            }

            return Task.CompletedTask;
        }
    }
}
