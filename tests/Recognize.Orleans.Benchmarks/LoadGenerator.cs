using System.Buffers.Text;
using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What a load did.</summary>
internal sealed record Load(Histogram Latency, TimeSpan Elapsed);

/// <summary>
/// Sends iterations on connections that are kept alive, one request at a time on each. Any answer with another status than
/// expected ends the run: a server that refuses is fast.
/// </summary>
internal static class LoadGenerator
{
    // Across all servers and rounds, so that no create ever repeats an id.
    private static long sequence;

    /// <summary>Until the time is over.</summary>
    public static Func<TimeSpan, bool> For(TimeSpan duration) => elapsed => elapsed < duration;

    /// <summary>Until so many iterations are begun.</summary>
    public static Func<TimeSpan, bool> For(int iterations) => _ => Interlocked.Decrement(ref iterations) >= 0;

    /// <summary>As long as both say so.</summary>
    public static Func<TimeSpan, bool> For(TimeSpan duration, int? iterations)
    {
        var inTime = For(duration);
        var inNumber = For(iterations ?? int.MaxValue);
        return elapsed => inTime(elapsed) && inNumber(elapsed);
    }

    /// <summary>Loads the servers, the connections spread over them.</summary>
    public static async Task<Load> RunAsync(IReadOnlyList<IDoor> servers, IReadOnlyList<Step> steps, int connections, Func<TimeSpan, bool> goesOn, CancellationToken cancellationToken)
    {
        var clients = new List<Client>();
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        try
        {
            for (var i = 0; i < connections; i++)
            {
                clients.Add(await Client.ConnectAsync(servers[i % servers.Count], cancellationToken));
            }

            var started = Stopwatch.GetTimestamp();
            var runs = clients.Select(client => Task.Run(() => RepeatAsync(client, steps, started, goesOn, ended), CancellationToken.None)).ToList();
            var latency = new Histogram();
            foreach (var histogram in await Task.WhenAll(runs))
            {
                latency.Add(histogram);
            }

            return new Load(latency, Stopwatch.GetElapsedTime(started));
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    /// <summary>The body of the answer to one request.</summary>
    public static async Task<string> AskAsync(IDoor server, Step step, CancellationToken cancellationToken)
    {
        using var client = await Client.ConnectAsync(server, cancellationToken);
        await client.SendAsync(step, 0, cancellationToken);
        return client.Body;
    }

    /// <summary>The status that one request is answered with, whichever it is.</summary>
    public static async Task<int> StatusOfAsync(IDoor server, Step step, CancellationToken cancellationToken)
    {
        using var client = await Client.ConnectAsync(server, cancellationToken);
        return await client.ExchangeAsync(step, 0, cancellationToken);
    }

    private static async Task<Histogram> RepeatAsync(Client client, IReadOnlyList<Step> steps, long started, Func<TimeSpan, bool> goesOn, CancellationTokenSource ended)
    {
        var latency = new Histogram();
        try
        {
            while (goesOn(Stopwatch.GetElapsedTime(started)))
            {
                if (steps[0].Pace is { } pace)
                {
                    await pace.TurnAsync(ended.Token);
                }

                var number = Interlocked.Increment(ref sequence);
                var begun = Stopwatch.GetTimestamp();
                foreach (var step in steps)
                {
                    await client.SendAsync(step, number, ended.Token);
                }

                latency.Add(Stopwatch.GetElapsedTime(begun));
            }

            return latency;
        }
        catch
        {
            // One failure is enough; the other connections need not go on.
            await ended.CancelAsync();
            throw;
        }
    }

    /// <summary>One connection that is kept alive.</summary>
    public sealed class Client : IDisposable
    {
        private readonly IDoor server;
        private readonly Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        private readonly byte[] request = new byte[4_096];
        private readonly byte[] answer = new byte[65_536];
        private int received;

        private Client(IDoor server) => this.server = server;

        /// <summary>The last answer's body; the framing of chunks included.</summary>
        public string Body => Encoding.UTF8.GetString(answer.AsSpan(0, received)[(answer.AsSpan(0, received).IndexOf("\r\n\r\n"u8) + 4)..]);

        public static async Task<Client> ConnectAsync(IDoor server, CancellationToken cancellationToken)
        {
            var client = new Client(server);
            try
            {
                await client.socket.ConnectAsync(server.EndPoint, cancellationToken);
                return client;
            }
            catch (SocketException fault)
            {
                client.Dispose();
                throw server.Failure($"takes no connection ({fault.Message})");
            }
        }

        public async ValueTask SendAsync(Step step, long number, CancellationToken cancellationToken)
        {
            var status = await ExchangeAsync(step, number, cancellationToken);
            if (status != step.Status && !step.MayFail)
            {
                throw server.Failure($"answered {status} instead of {step.Status}: {Body}");
            }
        }

        public async ValueTask<int> ExchangeAsync(Step step, long number, CancellationToken cancellationToken)
        {
            var length = step.Write(request, server.Headers, number);
            received = 0;
            try
            {
                for (var sent = 0; sent < length;)
                {
                    sent += await socket.SendAsync(request.AsMemory(sent, length - sent), cancellationToken);
                }

                while (true)
                {
                    var count = await socket.ReceiveAsync(answer.AsMemory(received), cancellationToken);
                    if (count == 0)
                    {
                        throw server.Failure(received == answer.Length ? "gave an answer longer than the buffer" : "closed a connection");
                    }

                    received += count;
                    if (LengthOf(answer.AsSpan(0, received)) is { } whole)
                    {
                        return whole == received ? StatusOf(answer) : throw server.Failure($"sent more than an answer: {Encoding.UTF8.GetString(answer, 0, received)}");
                    }
                }
            }
            catch (SocketException fault)
            {
                throw server.Failure($"broke a connection ({fault.Message})");
            }
        }

        public void Dispose() => socket.Dispose();

        private static int StatusOf(ReadOnlySpan<byte> answer) => int.Parse(answer[9..12], CultureInfo.InvariantCulture);

        // The length of a whole answer, or null as long as some of it is to come. Every answer here has a length or chunks.
        private static int? LengthOf(ReadOnlySpan<byte> bytes)
        {
            var end = bytes.IndexOf("\r\n\r\n"u8);
            if (end < 0)
            {
                return null;
            }

            var head = bytes[..(end + 2)];
            var body = end + 4;
            var length = head.IndexOf("\r\nContent-Length: "u8);
            if (length >= 0 && Utf8Parser.TryParse(head[(length + 18)..], out int count, out _))
            {
                return bytes.Length >= body + count ? body + count : null;
            }

            return head.IndexOf("\r\nTransfer-Encoding: chunked"u8) >= 0 ? EndOfChunks(bytes, body) : throw new BenchmarkException("An answer has neither a length nor chunks.");
        }

        private static int? EndOfChunks(ReadOnlySpan<byte> bytes, int position)
        {
            while (position < bytes.Length && Utf8Parser.TryParse(bytes[position..], out int size, out var digits, 'x') && digits > 0)
            {
                position += digits + 2 + size + 2;
                if (size == 0)
                {
                    return position <= bytes.Length ? position : null;
                }
            }

            return null;
        }
    }
}
