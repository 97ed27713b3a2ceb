using System.Buffers.Binary;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What a service holds after a full garbage collection, by its own dashboard and by the system.</summary>
/// <param name="Operations">Activations of operations.</param>
/// <param name="Users">Activations of users.</param>
/// <param name="Heap">Bytes of the managed heap.</param>
/// <param name="Resident">Bytes of resident memory, with what the collector keeps for later.</param>
internal sealed record Memory(long Operations, long Users, long Heap, long Resident)
{
    // The dashboard looks at its silo every second.
    private static readonly TimeSpan UntilTheDashboardKnows = TimeSpan.FromSeconds(5);

    public static async Task<Memory> OfAsync(Server server, CancellationToken cancellationToken)
    {
        // The second one takes what the first left to finalizers.
        await CollectAsync(server.ProcessId, cancellationToken);
        await CollectAsync(server.ProcessId, cancellationToken);
        using var client = new HttpClient { BaseAddress = new Uri(server.ReadyUrl, "/dashboard/") };

        // It begins to look when it is asked for the first time.
        await AskAsync("DashboardCounters");
        JsonElement counters;
        do
        {
            await Task.Delay(UntilTheDashboardKnows, cancellationToken);
            counters = await AskAsync("DashboardCounters");
        }
        while (counters.GetProperty("hosts").GetArrayLength() == 0);

        var silo = counters.GetProperty("hosts")[0].GetProperty("siloAddress").GetString();
        var history = await AskAsync($"HistoricalStats/{silo}");
        var heap = history.EnumerateArray().Last(second => second.ValueKind is JsonValueKind.Object).GetProperty("environmentStatistics").GetProperty("rawMemoryUsageBytes").GetInt64();
        return new(Count("OperationGrain"), Count("UserGrain"), heap, server.Memory());

        async Task<JsonElement> AskAsync(string what) =>
            JsonSerializer.Deserialize<JsonElement>(await client.GetStringAsync(new Uri(what, UriKind.Relative), cancellationToken));

        long Count(string grain) => counters.GetProperty("simpleGrainStats").EnumerateArray()
            .Where(type => type.GetProperty("grainType").GetString()!.EndsWith($".{grain}", StringComparison.Ordinal))
            .Sum(type => type.GetProperty("activationCount").GetInt64());
    }

    /// <summary>
    /// Asks the runtime of a process for a full collection: a tracing session with the keyword GCHeapCollect begins with one.
    /// The protocol is https://github.com/dotnet/diagnostics/blob/main/documentation/design-docs/ipc-protocol.md.
    /// </summary>
    private static async Task CollectAsync(int processId, CancellationToken cancellationToken)
    {
        const ulong GCHeapCollect = 0x800000;
        const uint Informational = 4;

        // The newest: a process that was killed leaves its own behind, and ids come again.
        if (Directory.EnumerateFiles(Path.GetTempPath(), $"dotnet-diagnostic-{processId}-*-socket").MaxBy(File.GetLastWriteTimeUtc) is not { } path)
        {
            throw new BenchmarkException("Memory is measured only where the runtime's diagnostic port is a Unix socket in the temporary directory.");
        }

        var request = new IpcMessage();
        request.Add("DOTNET_IPC_V1\0"u8);
        request.Add((ushort)0);
        request.Add([0x02, 0x03, 0x00, 0x00]);
        request.Add(1u);
        request.Add(1u);
        request.Add([0x00]);
        request.Add(1u);
        request.Add(GCHeapCollect);
        request.Add(Informational);
        request.Add("Microsoft-Windows-DotNETRuntime");
        request.Add(0u);

        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
        await socket.SendAsync(request.ToArray(), cancellationToken);

        // The session is read for as long as a collection of a large heap may take, then closed, which ends it.
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(TimeSpan.FromSeconds(3));
        var buffer = new byte[65_536];
        try
        {
            while (await socket.ReceiveAsync(buffer, patience.Token) > 0)
            {
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
        }
    }

    private sealed class IpcMessage
    {
        private const int SizeAt = 14;

        private readonly List<byte> bytes = [];

        public void Add(ReadOnlySpan<byte> value) => bytes.AddRange(value);

        public void Add(ushort value) => Add(BitConverter.GetBytes(value));

        public void Add(uint value) => Add(BitConverter.GetBytes(value));

        public void Add(ulong value) => Add(BitConverter.GetBytes(value));

        // UTF-16 with its length and a zero at the end.
        public void Add(string value)
        {
            Add((uint)value.Length + 1);
            Add(Encoding.Unicode.GetBytes(value + '\0'));
        }

        public byte[] ToArray()
        {
            var message = bytes.ToArray();
            BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(SizeAt), (ushort)message.Length);
            return message;
        }
    }
}
