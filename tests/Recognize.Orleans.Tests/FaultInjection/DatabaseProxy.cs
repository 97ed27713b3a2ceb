using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Threading.Channels;
using Npgsql;
using Recognize.Orleans.Fixtures;

namespace Recognize.Orleans.FaultInjection;

/// <summary>A network between one service and PostgreSQL that does what networks do: it cuts, delays, delivers late, and goes silent.</summary>
/// <remarks>
/// It knows where a message of the protocol ends, so that a test can catch one statement exactly. What the service has sent before its
/// connection is cut is never lost: it reaches the server when the test says so.
/// </remarks>
internal sealed class DatabaseProxy : IAsyncDisposable
{
    private readonly Lock gate = new();
    private readonly List<Connection> connections = [];
    private readonly List<HeldStatement> traps = [];
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly (string Host, int Port) server;
    private readonly Task accepting;
    private TaskCompletionSource? silence;
    private TimeSpan delayToServer;
    private TimeSpan delayToClient;

    public DatabaseProxy(TestDatabase database)
    {
        var settings = new NpgsqlConnectionStringBuilder(database.ConnectionString);
        server = (settings.Host!, settings.Port);
        listener.Start();
        (settings.Host, settings.Port, settings.SslMode) = ("127.0.0.1", ((IPEndPoint)listener.LocalEndpoint).Port, SslMode.Disable);
        ConnectionString = settings.ConnectionString;
        accepting = AcceptAsync();
    }

    /// <summary>Leads through this proxy.</summary>
    public string ConnectionString { get; }

    /// <summary>The next message to the server that has all these texts stays here, and with it whatever follows on its connection.</summary>
    public HeldStatement HoldNext(params string[] texts)
    {
        var held = new HeldStatement([.. texts.Select(Encoding.UTF8.GetBytes)]);
        lock (gate)
        {
            traps.Add(held);
        }

        return held;
    }

    /// <summary>Nothing more is caught for it.</summary>
    public void Forget(HeldStatement held)
    {
        lock (gate)
        {
            traps.Remove(held);
        }
    }

    /// <summary>Forwards nothing any more, in either direction, and closes nothing: a firewall that has forgotten the connections.</summary>
    public void GoSilent()
    {
        lock (gate)
        {
            silence ??= NewSource();
        }
    }

    /// <summary>Each message takes that much longer.</summary>
    public void Delay(TimeSpan toServer, TimeSpan toClient) => (delayToServer, delayToClient) = (toServer, toClient);

    /// <summary>A network without faults again; what was caught stays caught.</summary>
    public void GoOn()
    {
        lock (gate)
        {
            silence?.TrySetResult();
            silence = null;
        }

        Delay(TimeSpan.Zero, TimeSpan.Zero);
    }

    public async ValueTask DisposeAsync()
    {
        listener.Stop();
        GoOn();
        List<Connection> open;
        lock (gate)
        {
            open = [.. connections];
        }

        open.ForEach(connection => connection.Dispose());
        await accepting;
        await Task.WhenAll(open.Select(connection => connection.Ended));
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            Socket client;
            try
            {
                client = await listener.AcceptSocketAsync();
            }
            catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
            {
                return;
            }

            lock (gate)
            {
                connections.Add(new(this, client));
            }
        }
    }

    private HeldStatement? Catch(byte[] message)
    {
        lock (gate)
        {
            var held = traps.Find(trap => trap.IsIn(message));
            return held is not null && traps.Remove(held) ? held : null;
        }
    }

    private async Task PassAsync(TimeSpan delay)
    {
        if (delay > TimeSpan.Zero)
        {
            await Task.Delay(delay);
        }

        await (silence?.Task ?? Task.CompletedTask);
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>A statement that the service has sent and the server has not seen.</summary>
    internal sealed class HeldStatement(byte[][] texts)
    {
        private readonly TaskCompletionSource caught = NewSource();
        private readonly TaskCompletionSource answered = NewSource();
        private Connection? connection;

        /// <summary>Completes when the service has sent it.</summary>
        public Task Caught => caught.Task.WaitAsync(ServiceProcess.Patience);

        internal TaskCompletionSource Released { get; } = NewSource();

        /// <summary>The port by which the server knows the session.</summary>
        public int ServerPort => connection!.ServerPort;

        /// <summary>The service loses the connection; the server knows nothing of it.</summary>
        public void Cut() => connection!.Cut();

        /// <summary>The server gets it now; completes when the server has done it.</summary>
        public Task DeliverAsync()
        {
            Released.TrySetResult();
            return answered.Task.WaitAsync(ServiceProcess.Patience);
        }

        internal bool IsIn(byte[] message) => Array.TrueForAll(texts, text => message.AsSpan().IndexOf(text) >= 0);

        internal void CatchOn(Connection catching)
        {
            connection = catching;
            caught.TrySetResult();
        }

        internal void Answer() => answered.TrySetResult();
    }

    internal sealed class Connection : IDisposable
    {
        private const int OldestProtocolCode = 80_877_103;
        private static readonly byte[] ReadyForQuery = [(byte)'Z', 0, 0, 0, 5];

        private readonly DatabaseProxy proxy;
        private readonly Socket client;
        private readonly Socket server = new(SocketType.Stream, ProtocolType.Tcp);
        private readonly Channel<byte[]> messages = Channel.CreateUnbounded<byte[]>();
        private HeldStatement? held;
        private volatile bool isCut;

        public Connection(DatabaseProxy proxy, Socket client)
        {
            this.proxy = proxy;
            this.client = client;
            client.NoDelay = server.NoDelay = true;
            Ended = RunAsync();
        }

        public Task Ended { get; }

        public int ServerPort => ((IPEndPoint)server.LocalEndPoint!).Port;

        public void Cut()
        {
            isCut = true;
            try
            {
                // The service reads the end; what it has sent is still read here.
                client.Shutdown(SocketShutdown.Send);
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
            }
        }

        public void Dispose()
        {
            held?.Released.TrySetResult();
            client.Dispose();
            server.Dispose();
        }

        private async Task RunAsync()
        {
            try
            {
                await server.ConnectAsync(proxy.server.Host, proxy.server.Port);
                await Task.WhenAll(ReadAsync(), ForwardAsync(), AnswerAsync());
            }
            catch (SocketException)
            {
            }
            finally
            {
                held?.Answer();
                Dispose();
                lock (proxy.gate)
                {
                    proxy.connections.Remove(this);
                }
            }
        }

        private async Task ReadAsync()
        {
            await using var stream = new NetworkStream(client);
            try
            {
                var typed = false;
                while (true)
                {
                    // The first message has no type; so has the one that comes after a question about encryption.
                    var head = new byte[typed ? 5 : 8];
                    await stream.ReadExactlyAsync(head);
                    var length = BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(typed ? 1 : 0)) + (typed ? 1 : 0);
                    typed = typed || BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(4)) < OldestProtocolCode;
                    var message = new byte[length];
                    head.CopyTo(message, 0);
                    await stream.ReadExactlyAsync(message.AsMemory(head.Length));
                    messages.Writer.TryWrite(message);
                }
            }
            catch (Exception end) when (end is IOException or ObjectDisposedException)
            {
                isCut = true;
                messages.Writer.TryComplete();
            }
        }

        private async Task ForwardAsync()
        {
            try
            {
                await foreach (var message in messages.Reader.ReadAllAsync())
                {
                    if (proxy.Catch(message) is { } caught)
                    {
                        held = caught;
                        caught.CatchOn(this);
                        await caught.Released.Task;
                    }

                    await proxy.PassAsync(proxy.delayToServer);
                    await server.SendAsync(message);
                }

                server.Shutdown(SocketShutdown.Send);
            }
            catch (Exception end) when (end is SocketException or ObjectDisposedException)
            {
            }
        }

        private async Task AnswerAsync()
        {
            var buffer = new byte[65_536];
            try
            {
                while (await server.ReceiveAsync(buffer) is var count and > 0)
                {
                    await proxy.PassAsync(proxy.delayToClient);
                    if (held is { Released.Task.IsCompleted: true } && buffer.AsSpan(0, count)[..^1].EndsWith(ReadyForQuery))
                    {
                        held.Answer();
                    }

                    await SendAsync(buffer.AsMemory(0, count));
                }
            }
            catch (Exception end) when (end is SocketException or ObjectDisposedException)
            {
            }

            client.Dispose();
        }

        private async Task SendAsync(ReadOnlyMemory<byte> answer)
        {
            if (isCut)
            {
                // Nobody hears it.
                return;
            }

            try
            {
                await client.SendAsync(answer);
            }
            catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
            {
                isCut = true;
            }
        }
    }
}
