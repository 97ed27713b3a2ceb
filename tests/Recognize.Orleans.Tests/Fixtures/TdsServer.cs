using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Recognize.Orleans.Fixtures;

/// <summary>As much of a SQL Server as its driver needs: it lets everybody in or refuses them, and answers every statement with rows, with nothing or with an error.</summary>
/// <remarks>The protocol is Microsoft's MS-TDS: https://learn.microsoft.com/openspecs/windows_protocols/ms-tds.</remarks>
internal sealed class TdsServer : IAsyncDisposable
{
    private const byte Batch = 0x01;
    private const byte Rpc = 0x03;
    private const byte Attention = 0x06;
    private const byte Login = 0x10;
    private const byte PreLogin = 0x12;

    // At most 4,000 characters in Latin1_General.
    private static readonly byte[] TextType = [0xE7, 0x40, 0x1F, 0x09, 0x04, 0xD0, 0x00, 0x34];
    private static readonly byte[] IntegerType = [0x26, 4];

    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly Lock gate = new();
    private readonly List<TdsStatement> statements = [];
    private readonly List<Socket> clients = [];
    private readonly List<Task> conversations = [];
    private readonly Task accepting;
    private int logins;

    private TdsServer()
    {
        listener.Start();
        accepting = AcceptAsync();
    }

    /// <summary>The driver tries once, waits for nothing it need not, and pools.</summary>
    public string ConnectionString => $"Server=tcp:127.0.0.1,{((IPEndPoint)listener.LocalEndpoint).Port};Database=recognize;User Id=u;Password=p;Encrypt=False;Connect Retry Count=0;Connect Timeout=5";

    /// <summary>What logins are refused with; null lets them in.</summary>
    public TdsError? RefusesLoginsWith { get; set; }

    /// <summary>What every statement is answered with; none: done.</summary>
    public IReadOnlyList<TdsError> Answers { get; set; } = [];

    /// <summary>The rows that every statement finds, one result after the other; the values of a row are texts, numbers and null.</summary>
    public IReadOnlyList<object?[][]> Finds { get; set; } = [];

    /// <summary>How many logins have come, refused ones included.</summary>
    public int Logins => Volatile.Read(ref logins);

    /// <summary>What was sent, in its order.</summary>
    public IReadOnlyList<TdsStatement> Statements
    {
        get
        {
            lock (gate)
            {
                return [.. statements];
            }
        }
    }

    public static TdsServer Start() => new();

    public async ValueTask DisposeAsync()
    {
        listener.Stop();
        await accepting;
        lock (gate)
        {
            clients.ForEach(client => client.Dispose());
        }

        await Task.WhenAll(conversations);
    }

    private async Task AcceptAsync()
    {
        while (true)
        {
            try
            {
                var client = await listener.AcceptSocketAsync();
                lock (gate)
                {
                    clients.Add(client);
                    conversations.Add(TalkAsync(client));
                }
            }
            catch (Exception closed) when (closed is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task TalkAsync(Socket client)
    {
        try
        {
            await using var stream = new NetworkStream(client, ownsSocket: true);
            while (true)
            {
                var (type, message) = await ReadAsync(stream);
                var answer = AnswerTo(type, message);
                var head = new byte[] { 0x04, 0x01, 0, 0, 0, 0, 1, 0 };
                BinaryPrimitives.WriteUInt16BigEndian(head.AsSpan(2), (ushort)(head.Length + answer.Length));
                await stream.WriteAsync((byte[])[.. head, .. answer]);
            }
        }
        catch (Exception end) when (end is IOException or ObjectDisposedException)
        {
        }
    }

    // A message is one or more packets; the last one says so.
    private static async Task<(byte Type, byte[] Message)> ReadAsync(NetworkStream stream)
    {
        using var message = new MemoryStream();
        var head = new byte[8];
        do
        {
            await stream.ReadExactlyAsync(head);
            var part = new byte[BinaryPrimitives.ReadUInt16BigEndian(head.AsSpan(2)) - head.Length];
            await stream.ReadExactlyAsync(part);
            message.Write(part);
        }
        while ((head[1] & 1) == 0);
        return (head[0], message.ToArray());
    }

    private byte[] AnswerTo(byte type, byte[] message)
    {
        switch (type)
        {
            case PreLogin:
                // Version, and encryption: not supported.
                return [0, 0, 11, 0, 6, 1, 0, 17, 0, 1, 0xFF, 16, 0, 0, 0, 0, 0, 2];
            case Login:
                Interlocked.Increment(ref logins);
                return RefusesLoginsWith is { } refusal ? [.. ErrorToken(refusal), .. DoneToken(0xFD, failed: true)] : [.. LoginToken(), .. DoneToken(0xFD, failed: false)];
            case Batch or Rpc:
                lock (gate)
                {
                    statements.Add(type is Rpc ? new TdsReader(message).Rpc() : new TdsReader(message).Batch());
                }

                return [.. Finds.SelectMany(ResultTokens), .. Answers.SelectMany(ErrorToken), .. DoneToken(type is Rpc ? (byte)0xFE : (byte)0xFD, failed: Answers.Count > 0)];
            case Attention:
                return [0xFD, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            default:
                throw new IOException($"A message of type {type} is not known here.");
        }
    }

    private static byte[] LoginToken()
    {
        // SQL Server, which speaks TDS 7.4.
        byte[] body = [1, 0x74, 0, 0, 4, .. ShortText("Test"), 16, 0, 0, 0];

        // Without a collation the driver has no texts to send.
        byte[] collation = [0xE3, 8, 0, 7, 5, 0x09, 0x04, 0xD0, 0x00, 0x34, 0];
        return [.. collation, 0xAD, .. Number((short)body.Length), .. body];
    }

    private static byte[] ErrorToken(TdsError error)
    {
        byte[] body = [.. Number(error.Number), 1, error.Class, .. Number((short)error.Message.Length), .. Encoding.Unicode.GetBytes(error.Message), .. ShortText("test"), .. ShortText(""), .. Number(1)];
        return [error.Class > 10 ? (byte)0xAA : (byte)0xAB, .. Number((short)body.Length), .. body];
    }

    // A column is a number where its first row has one, and else a text.
    private static byte[] ResultTokens(object?[][] rows) =>
    [
        0x81, .. Number((short)rows[0].Length), .. rows[0].SelectMany(value => (byte[])[0, 0, 0, 0, 1, 0, .. value is int ? IntegerType : TextType, 0]),
        .. rows.SelectMany(row => (byte[])[0xD1, .. row.SelectMany(Value)]),
        0xFF, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];

    private static byte[] Value(object? value) => value switch
    {
        int number => [4, .. Number(number)],
        string text => [.. Number((short)(text.Length * 2)), .. Encoding.Unicode.GetBytes(text)],
        _ => [0xFF, 0xFF],
    };

    private static byte[] DoneToken(byte token, bool failed) => [token, failed ? (byte)2 : (byte)0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    private static byte[] ShortText(string text) => [(byte)text.Length, .. Encoding.Unicode.GetBytes(text)];

    private static byte[] Number(short number) => BitConverter.GetBytes(number);

    private static byte[] Number(int number) => BitConverter.GetBytes(number);

    /// <summary>Reads what the driver has sent.</summary>
    private sealed class TdsReader(byte[] message)
    {
        private const byte NText = 0x63;
        private const byte NVarChar = 0xE7;

        private int at = BitConverter.ToInt32(message);

        public TdsStatement Batch() => new(Encoding.Unicode.GetString(message.AsSpan(at)), "");

        // The first two parameters of sp_executesql are the text and the declarations of all others.
        public TdsStatement Rpc()
        {
            if (Short() != 0xFFFF || Short() != 10)
            {
                throw new IOException("A procedure other than sp_executesql was called.");
            }

            at += 2;
            var text = Text();
            return new(text, at < message.Length ? Text() : "");
        }

        private string Text()
        {
            at += (message[at] * 2) + 2;
            switch (message[at++])
            {
                case NText:
                    at += 4 + 5;
                    return Text(Long());
                case NVarChar when Short() is var size:
                    at += 5;
                    return size is not 0xFFFF ? Text(Short()) : Parts();
                default:
                    throw new IOException("The text of a statement has a type that is not known here.");
            }
        }

        private string Parts()
        {
            at += 8;
            var text = new StringBuilder();
            while (Long() is var length and > 0)
            {
                text.Append(Text(length));
            }

            return text.ToString();
        }

        private string Text(int length)
        {
            at += length;
            return Encoding.Unicode.GetString(message.AsSpan(at - length, length));
        }

        private int Short()
        {
            at += 2;
            return BitConverter.ToUInt16(message.AsSpan(at - 2));
        }

        private int Long()
        {
            at += 4;
            return BitConverter.ToInt32(message.AsSpan(at - 4));
        }
    }
}

/// <summary>An error of the server, or from class 10 down a message that is none.</summary>
internal sealed record TdsError(int Number, byte Class, string Message = "No.");

/// <summary>What the driver sends for a command.</summary>
/// <param name="Text">The text.</param>
/// <param name="Parameters">The declarations of its parameters, as the server gets them.</param>
internal sealed record TdsStatement(string Text, string Parameters);
