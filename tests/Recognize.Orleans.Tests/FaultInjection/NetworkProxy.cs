using System.Net;
using System.Net.Sockets;
using Microsoft.Data.SqlClient;
using Npgsql;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.FaultInjection;

/// <summary>A network between services and any database server that can be cut, go silent or forget connections. It knows nothing of what it carries.</summary>
internal sealed class NetworkProxy : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly HashSet<Socket> sockets = [];
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly (string Host, int Port) server;
    private readonly Task accepting;
    private TaskCompletionSource? silence;
    private bool isCut;
    private int forgotten;

    public NetworkProxy(TestDatabase database)
    {
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        (server, ConnectionString) = database.Engine is StorageEngine.SqlServer ? ThroughSqlServer(database.ConnectionString, port) : ThroughPostgreSql(database.ConnectionString, port);
        accepting = AcceptAsync();
    }

    /// <summary>Leads through this proxy.</summary>
    public string ConnectionString { get; }

    /// <summary>Every connection breaks, and so does each new one.</summary>
    public void Cut()
    {
        lock (gate)
        {
            isCut = true;
            Break();
        }
    }

    /// <summary>Forwards nothing any more, in either direction, and closes nothing: a firewall that has forgotten the connections.</summary>
    public void GoSilent()
    {
        lock (gate)
        {
            silence ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }

    /// <summary>Goes silent on every connection there is, for good and without closing one; new ones are served. So does a firewall that drops what was idle.</summary>
    public void ForgetConnections() => Interlocked.Increment(ref forgotten);

    /// <summary>A network without faults again. What was held back by silence arrives.</summary>
    public void GoOn()
    {
        lock (gate)
        {
            isCut = false;
            silence?.TrySetResult();
            silence = null;
        }
    }

    public async ValueTask DisposeAsync()
    {
        listener.Stop();
        Cut();
        GoOn();
        await accepting;
    }

    private static ((string Host, int Port) Server, string ConnectionString) ThroughPostgreSql(string connectionString, int port)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        var server = (settings.Host!, settings.Port);
        (settings.Host, settings.Port) = ("127.0.0.1", port);
        return (server, settings.ConnectionString);
    }

    // tcp:host,port; the certificate names the host and not this proxy.
    private static ((string Host, int Port) Server, string ConnectionString) ThroughSqlServer(string connectionString, int port)
    {
        var settings = new SqlConnectionStringBuilder(connectionString);
        var parts = settings.DataSource.Split(':')[^1].Split(',');
        var server = (parts[0], parts.Length > 1 ? int.Parse(parts[1], System.Globalization.CultureInfo.InvariantCulture) : 1433);
        settings.DataSource = $"tcp:127.0.0.1,{port}";
        if (!settings.ShouldSerialize("Host Name In Certificate"))
        {
            settings.HostNameInCertificate = server.Item1;
        }

        return (server, settings.ConnectionString);
    }

    private async Task AcceptAsync()
    {
        var carried = new List<Task>();
        try
        {
            while (true)
            {
                carried.Add(CarryAsync(await listener.AcceptSocketAsync()));
            }
        }
        catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
        {
            lock (gate)
            {
                Break();
            }

            await Task.WhenAll(carried);
        }
    }

    private async Task CarryAsync(Socket client)
    {
        using var near = client;
        using var far = new Socket(SocketType.Stream, ProtocolType.Tcp);
        near.NoDelay = far.NoDelay = true;

        // Broken, not closed in order.
        near.LingerState = far.LingerState = new(true, 0);
        lock (gate)
        {
            if (isCut)
            {
                return;
            }

            sockets.Add(near);
            sockets.Add(far);
        }

        try
        {
            await far.ConnectAsync(server.Host, server.Port);
            var known = Volatile.Read(ref forgotten);
            await Task.WhenAny(ForwardAsync(near, far, known), ForwardAsync(far, near, known));
        }
        catch (Exception broken) when (broken is SocketException or ObjectDisposedException)
        {
        }
        finally
        {
            lock (gate)
            {
                sockets.Remove(near);
                sockets.Remove(far);
            }
        }
    }

    private async Task ForwardAsync(Socket from, Socket to, int known)
    {
        var buffer = new byte[65_536];
        try
        {
            while (await from.ReceiveAsync(buffer) is var count and > 0)
            {
                await (silence?.Task ?? Task.CompletedTask);
                if (known == Volatile.Read(ref forgotten))
                {
                    await to.SendAsync(buffer.AsMemory(0, count));
                }
            }
        }
        catch (Exception broken) when (broken is SocketException or ObjectDisposedException)
        {
        }
    }

    private void Break()
    {
        foreach (var socket in sockets)
        {
            socket.Dispose();
        }

        sockets.Clear();
    }
}
