using System.Net;
using System.Net.Sockets;
using Xunit;

namespace Recognize.Orleans.Hosting.Stopping;

public sealed class ListenersTests
{
    [SkippableFact]
    public async Task The_last_call_keeps_the_connections_that_were_made_and_refuses_whoever_comes_after()
    {
        Skip.IfNot(OperatingSystem.IsLinux(), "Only Linux filters what a listener gets.");
        var listeners = new Listeners();
        using var listener = listeners.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using var early = NewSocket();
        using var late = NewSocket();
        await early.ConnectAsync(listener.LocalEndPoint!);

        listeners.IgnoreNewConnections();
        var connecting = late.ConnectAsync(listener.LocalEndPoint!);
        using var accepted = await listener.AcceptAsync();
        await early.SendAsync(new byte[] { 1 });
        Assert.Equal(1, await accepted.ReceiveAsync(new byte[1]));
        Assert.False(listener.Poll(TimeSpan.Zero, SelectMode.SelectRead), "Another connection was made.");
        listener.Close();

        var refusal = await Assert.ThrowsAsync<SocketException>(() => connecting);
        Assert.Equal(SocketError.ConnectionRefused, refusal.SocketErrorCode);
        await accepted.SendAsync(new byte[] { 2 });
        Assert.Equal(1, await early.ReceiveAsync(new byte[1]));
    }

    [Fact]
    public void A_listener_that_is_closed_already_is_no_fault()
    {
        var listeners = new Listeners();
        listeners.Bind(new IPEndPoint(IPAddress.Loopback, 0)).Dispose();

        listeners.IgnoreNewConnections();
    }

    private static Socket NewSocket() => new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
}
