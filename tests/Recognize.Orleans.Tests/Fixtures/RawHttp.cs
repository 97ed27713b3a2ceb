using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>Sends requests as the bytes that they are given as. A client library would tidy up their paths and headers.</summary>
internal static class RawHttp
{
    /// <summary>The bytes of a request. Targets and headers are Latin-1, one byte for each character.</summary>
    public static byte[] Request(string method, string target, IEnumerable<(string Name, string Value)> headers, byte[]? body = null)
    {
        var head = new StringBuilder().Append(CultureInfo.InvariantCulture, $"{method} {target} HTTP/1.1\r\nConnection: close\r\n");
        foreach (var (name, value) in headers)
        {
            head.Append(CultureInfo.InvariantCulture, $"{name}: {value}\r\n");
        }

        if (body is not null)
        {
            head.Append(CultureInfo.InvariantCulture, $"Content-Length: {body.Length}\r\n");
        }

        return [.. Encoding.Latin1.GetBytes(head.Append("\r\n").ToString()), .. body ?? []];
    }

    /// <summary>Sends one request to the API, on a connection of its own.</summary>
    public static async Task<Answer> SendAsync(Uri api, byte[] request)
    {
        var line = Encoding.Latin1.GetString(request, 0, request.AsSpan().IndexOf("\r\n"u8)).Split(' ');
        return ApiDocument.Check(line[0], line[1], await ExchangeAsync(api, request));
    }

    /// <summary>Sends one request on a connection of its own and reads the answer to the end of the connection.</summary>
    public static async Task<Answer> ExchangeAsync(Uri server, byte[] request)
    {
        using var timeout = new CancellationTokenSource(ServiceProcess.Patience);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPEndPoint.Parse(server.Authority), timeout.Token);
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync(request, timeout.Token);
        using var answer = new MemoryStream();
        await stream.CopyToAsync(answer, timeout.Token);
        return Parse(answer.ToArray());
    }

    /// <summary>Sends what may be less than a request on a connection of its own, says that nothing more comes, and reads whatever comes back.</summary>
    public static async Task SendAndLeaveAsync(Uri server, byte[] request)
    {
        using var timeout = new CancellationTokenSource(ServiceProcess.Patience);
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPEndPoint.Parse(server.Authority), timeout.Token);
        await using var stream = new NetworkStream(socket);
        await stream.WriteAsync(request, timeout.Token);
        socket.Shutdown(SocketShutdown.Send);
        try
        {
            await stream.CopyToAsync(Stream.Null, timeout.Token);
        }
        catch (IOException)
        {
            // The service may answer whoever has left, or break the connection.
        }
    }

    /// <summary>Reads from a connection until the other side closes it.</summary>
    public static async Task<int> ReadToEndAsync(Socket client)
    {
        var buffer = new byte[1_000_000];
        var length = 0;
        for (int read; (read = await client.ReceiveAsync(buffer)) > 0; length += read)
        {
        }

        return length;
    }

    /// <summary>Reads so many bytes from a connection in parts, and tells how long each was before it reads the next.</summary>
    public static async Task ReadInPartsAsync(Socket client, long bytes, int longestPart, Action<int> told)
    {
        var buffer = new byte[longestPart];
        var read = 0L;
        while (read < bytes)
        {
            var count = await client.ReceiveAsync(buffer).WaitAsync(ClusterFixture.Patience);
            Assert.NotEqual(0, count);
            told(count);
            read += count;
        }
    }

    private static Answer Parse(byte[] bytes)
    {
        var end = bytes.AsSpan().IndexOf("\r\n\r\n"u8);
        var lines = Encoding.Latin1.GetString(bytes, 0, end).Split("\r\n");
        var headers = lines[1..]
            .Select(line => line.Split(": ", 2))
            .ToDictionary(parts => parts[0], parts => parts[1], StringComparer.OrdinalIgnoreCase);
        var body = bytes.AsSpan(end + 4);
        var text = headers.TryGetValue("Transfer-Encoding", out var coding) && coding == "chunked" ? Unchunk(body) : Encoding.UTF8.GetString(body);
        return new Answer(int.Parse(lines[0].Split(' ')[1], CultureInfo.InvariantCulture), headers, text);
    }

    private static string Unchunk(ReadOnlySpan<byte> rest)
    {
        var body = new List<byte>();
        while (true)
        {
            var line = rest.IndexOf("\r\n"u8);
            var length = int.Parse(rest[..line], NumberStyles.HexNumber, CultureInfo.InvariantCulture);
            if (length == 0)
            {
                return Encoding.UTF8.GetString([.. body]);
            }

            body.AddRange(rest.Slice(line + 2, length));
            rest = rest[(line + 2 + length + 2)..];
        }
    }
}
