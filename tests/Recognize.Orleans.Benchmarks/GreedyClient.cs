using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What a greedy customer got: seconds, bytes, and answers by status; <c>cut</c> are connections that the server ended.</summary>
internal sealed record Tally(double Seconds, long Bytes, IReadOnlyDictionary<string, long> Answers)
{
    public static readonly Tally Nothing = new(0, 0, new Dictionary<string, long>());

    public long Count => Answers.Values.Sum();

    public static Tally operator +(Tally one, Tally other) => new(
        one.Seconds + other.Seconds,
        one.Bytes + other.Bytes,
        one.Answers.Concat(other.Answers).GroupBy(answer => answer.Key).ToDictionary(answers => answers.Key, answers => answers.Sum(answer => answer.Value)));

    public override string ToString() => string.Join(", ", Answers.OrderBy(answer => answer.Key, StringComparer.Ordinal).Select(answer => FormattableString.Invariant($"{answer.Key}: {answer.Value:N0}")));
}

/// <summary>
/// A greedy customer, in a process of its own that is told on its standard input what to do and answers each word with what was done: <c>prepare</c>,
/// <c>go</c>, <c>tally</c> and <c>stop</c>. It ends with its input. It throws away what it receives, so that it takes little from other generators on its cores.
/// </summary>
internal sealed class GreedyClient(GreedyFlood flood, IPEndPoint server, string headers, int connections)
{
    // Payloads fill a list with the fewest creates, ids of three bytes a character with the most operations.
    private const int LargePayload = 16_384;
    private const int Users = 50;
    private const int LongId = 256;

    private static readonly TimeSpan BetweenChanges = TimeSpan.FromMilliseconds(500);
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(100);
    private static readonly string LargeUser = Requests.User(0xB1C0_0000_0000, 0);

    private readonly IPEndPoint server = server;
    private readonly ConcurrentDictionary<string, long> answers = new();
    private readonly List<Thread> threads = [];
    private readonly ConcurrentDictionary<Connection, bool> open = new();
    private long started;
    private long bytes;
    private long sequence;
    private string newest = "large-0";
    private volatile bool isGoing;

    public static void Run(string flood, string port, string headers, string connections)
    {
        var client = new GreedyClient(
            Enum.Parse<GreedyFlood>(flood),
            new(IPAddress.Loopback, int.Parse(port, CultureInfo.InvariantCulture)),
            headers,
            int.Parse(connections, CultureInfo.InvariantCulture));
        while (Console.ReadLine() is { } word)
        {
            client.Obey(word);
            Console.WriteLine(JsonSerializer.Serialize(client.Tally(), JsonSerializerOptions.Web));
        }
    }

    private void Obey(string word)
    {
        switch (word)
        {
            case "prepare":
                Restart();
                Prepare();
                break;
            case "go":
                Restart();
                Go();
                break;
            case "stop":
                Stop();
                break;
        }
    }

    private Tally Tally() => new(started == 0 ? 0 : Stopwatch.GetElapsedTime(started).TotalSeconds, Interlocked.Read(ref bytes), answers);

    private void Restart()
    {
        answers.Clear();
        bytes = 0;
        started = Stopwatch.GetTimestamp();
    }

    private void Prepare()
    {
        switch (flood)
        {
            case GreedyFlood.UnreadStreams:
                using (var connection = Connect())
                {
                    for (var number = 0; Count(connection.Exchange(CreateLarge($"large-{number}"))) == 200; number++)
                    {
                    }
                }

                break;
            case GreedyFlood.FullLists or GreedyFlood.RefusedCreates:
                // Until each user has refused one: all have about as many.
                var full = 0;
                isGoing = true;
                Start(connections, connection =>
                {
                    var status = Count(connection.Exchange(CreateLong(Next())));
                    isGoing &= status == 200 || Interlocked.Increment(ref full) < Users;
                    return status;
                });
                threads.ForEach(thread => thread.Join());
                threads.Clear();
                break;
        }
    }

    private void Go()
    {
        isGoing = true;
        switch (flood)
        {
            case GreedyFlood.FullLists:
                Repeat(number => Request("GET", $"users/{LongIdUser(number)}/operations/pending"));
                break;
            case GreedyFlood.UnreadStreams:
                Start(1, Change);
                threads.Add(new(OpenAndNeverRead));
                threads[^1].Start();
                break;
            case GreedyFlood.RefusedCreates:
                Repeat(CreateLong);
                break;
            case GreedyFlood.UnknownIds:
                Repeat(number => Request("GET", number % 2 == 0 ? $"operations/unknown-{number}" : $"users/{Requests.User(0xB1C2_0000_0000, number)}/operations/pending"));
                break;
        }
    }

    private void Stop()
    {
        isGoing = false;
        foreach (var connection in open.Keys)
        {
            connection.Dispose();
        }

        threads.ForEach(thread => thread.Join());
        threads.Clear();
    }

    private void Repeat(Func<long, byte[]> request) => Start(connections, connection => Count(connection.Exchange(request(Next()))));

    // A thread each, because a blocking call costs the least.
    private void Start(int count, Func<Connection, int> once)
    {
        for (var i = 0; i < count; i++)
        {
            threads.Add(new(() => Work(once)));
            threads[^1].Start();
        }
    }

    private void Work(Func<Connection, int> once)
    {
        while (isGoing)
        {
            try
            {
                using var connection = Connect();
                while (isGoing)
                {
                    once(connection);
                }
            }
            catch (Exception fault) when (fault is IOException or SocketException or ObjectDisposedException)
            {
                if (isGoing)
                {
                    Count("cut");
                }
            }
        }
    }

    // One is taken back before the next is created: the list is as full as it may be.
    private int Change(Connection connection)
    {
        Count(connection.Exchange(Request("POST", $"operations/{newest}/cancel", "{}")));
        Thread.Sleep(BetweenChanges);

        // Also when its answer is lost.
        newest = $"change-{Next()}";
        var status = Count(connection.Exchange(CreateLarge(newest)));
        Thread.Sleep(BetweenChanges);
        return status;
    }

    private void OpenAndNeverRead()
    {
        var request = Encoding.UTF8.GetBytes(Encoding.UTF8.GetString(Request("GET", $"users/{LargeUser}/operations/events")).Replace("application/json", "text/event-stream", StringComparison.Ordinal));
        var streams = new Connection?[connections];
        while (isGoing)
        {
            for (var i = 0; i < streams.Length && isGoing; i++)
            {
                try
                {
                    streams[i] ??= Open();
                    var (isOpen, status) = streams[i]!.Look();
                    if (status is { } seen)
                    {
                        Count($"stream {seen}");
                    }

                    if (!isOpen)
                    {
                        Count("cut");
                    }

                    if (!isOpen || status is not (null or 200))
                    {
                        streams[i]!.Dispose();
                        streams[i] = null;
                    }
                }
                catch (Exception fault) when (fault is IOException or SocketException or ObjectDisposedException)
                {
                    streams[i] = null;
                }
            }

            Thread.Sleep(BetweenLooks);
        }

        Array.ForEach(streams, stream => stream?.Dispose());

        Connection Open()
        {
            var connection = Connect();
            connection.Send(request);
            return connection;
        }
    }

    private Connection Connect()
    {
        var connection = new Connection(this);
        open[connection] = true;
        connection.Open();
        return connection;
    }

    private int Count(int status)
    {
        Count(status.ToString(CultureInfo.InvariantCulture));
        return status;
    }

    private void Count(string what) => answers.AddOrUpdate(what, 1, (_, count) => count + 1);

    private long Next() => Interlocked.Increment(ref sequence);

    private static string LongIdUser(long number) => Requests.User(0xB1C1_0000_0000, number % Users);

    private byte[] CreateLarge(string operationId) =>
        Request("POST", $"users/{LargeUser}/operations", $$"""{"operationId":"{{operationId}}","operationPayload":"{{new string('x', LargePayload)}}"}""");

    // Three bytes a character.
    private byte[] CreateLong(long number) => Request(
        "POST",
        $"users/{LongIdUser(number)}/operations",
        $$"""{"operationId":"{{number.ToString(CultureInfo.InvariantCulture).PadLeft(LongId, '長')}}","externalUserId":"{{new string('名', LongId)}}","operationPayload":"{{Requests.Payload}}"}""");

    private byte[] Request(string method, string path, string? body = null) => Encoding.UTF8.GetBytes(body is null
        ? $"{method} /v2/{path} HTTP/1.1\r\n{headers}\r\n"
        : $"{method} /v2/{path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}");

    /// <summary>One connection with blocking calls, whose answers are thrown away.</summary>
    private sealed class Connection(GreedyClient owner) : IDisposable
    {
        private const int TcpProtocol = 6;
        private const int TcpInfo = 11;
        private const byte Established = 1;
        private const int StatusEnd = 12;

        private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        private readonly byte[] buffer = new byte[262_144];
        private int start;
        private int end;
        private bool isStatusSeen;

        public void Open() => socket.Connect(owner.server);

        public void Send(byte[] request)
        {
            for (var sent = 0; sent < request.Length;)
            {
                sent += socket.Send(request.AsSpan(sent));
            }
        }

        /// <returns>The status of the answer.</returns>
        public int Exchange(byte[] request)
        {
            Send(request);
            start = end = 0;
            int length;
            while ((length = buffer.AsSpan(0, end).IndexOf("\r\n\r\n"u8)) < 0)
            {
                Fill();
            }

            start = length + 4;
            var head = buffer.AsSpan(0, length + 2);
            var status = StatusOf(head);
            var counted = head.IndexOf("\r\nContent-Length: "u8);
            if (counted >= 0 && Utf8Parser.TryParse(head[(counted + 18)..], out long body, out _))
            {
                Skip(body);
            }
            else if (head.IndexOf("\r\nTransfer-Encoding: chunked"u8) >= 0)
            {
                SkipChunks();
            }

            return status;
        }

        /// <summary>Whether the server has left the connection open, and the status of its answer once it is there; nothing is taken from the socket.</summary>
        public (bool IsOpen, int? Status) Look()
        {
            // The end of a connection stands behind all that was not read, so that only the system tells of it.
            Span<byte> info = stackalloc byte[1];
            socket.GetRawSocketOption(TcpProtocol, TcpInfo, info);
            int? status = null;
            if (!isStatusSeen && socket.Available >= StatusEnd)
            {
                isStatusSeen = true;
                socket.Receive(buffer, 0, StatusEnd, SocketFlags.Peek);
                status = StatusOf(buffer);
            }

            return (info[0] == Established, status);
        }

        public void Dispose()
        {
            owner.open.TryRemove(this, out _);
            socket.Dispose();
        }

        private static int StatusOf(ReadOnlySpan<byte> answer) => int.Parse(answer[9..StatusEnd], CultureInfo.InvariantCulture);

        private void Fill()
        {
            if (start == end)
            {
                start = end = 0;
            }
            else if (end == buffer.Length)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                (start, end) = (0, end - start);
            }

            var count = socket.Receive(buffer.AsSpan(end));
            if (count == 0)
            {
                throw new IOException("The server closed the connection.");
            }

            end += count;
            Interlocked.Add(ref owner.bytes, count);
        }

        private void Skip(long count)
        {
            while (count > 0)
            {
                if (start == end)
                {
                    Fill();
                }

                var skipped = (int)Math.Min(count, end - start);
                start += skipped;
                count -= skipped;
            }
        }

        private void SkipChunks()
        {
            while (true)
            {
                int line;
                while ((line = buffer.AsSpan(start, end - start).IndexOf("\r\n"u8)) < 0)
                {
                    Fill();
                }

                if (!Utf8Parser.TryParse(buffer.AsSpan(start, line), out int size, out _, 'x'))
                {
                    throw new IOException("A chunk has no length.");
                }

                start += line + 2;
                Skip(size + 2);
                if (size == 0)
                {
                    return;
                }
            }
        }
    }
}
