using System.Buffers.Text;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Recognize.Orleans.Fixtures;

namespace Recognize.Orleans.Operations;

/// <summary>The calls whose costs are compared, each many times in a row from one client.</summary>
internal static class CostedCalls
{
    private const int Calls = 100;

    private static readonly string Payload = new('p', 100);

    /// <summary>What each call adds to what is read: the lowest of some rounds, because any of them may meet work of the background.</summary>
    public static IReadOnlyDictionary<string, double[]> Measure(TestService service, Func<long[]> read, int rounds)
    {
        using var client = new SilentClient(service.Api);
        var lowest = new Dictionary<string, double[]>();
        foreach (var (call, before, requests) in Enumerable.Range(0, rounds).SelectMany(_ => Round()))
        {
            client.Send(before);
            var start = read();
            client.Send(requests);
            var added = read().Zip(start, (after, earlier) => (after - earlier) / (double)requests.Length);
            lowest[call] = [.. lowest.TryGetValue(call, out var known) ? known.Zip(added, Math.Min) : added];
        }

        return lowest;
    }

    private static IEnumerable<(string Call, byte[][] Before, byte[][] Requests)> Round()
    {
        (string User, string Id)[] journeys = [.. Enumerable.Range(0, Calls).Select(_ => (ApiClient.NewUser(), ApiClient.NewId()))];
        var user = ApiClient.NewUser();
        var read = Request("GET", $"/v2/operations/{journeys[0].Id}");
        var list = Request("GET", $"/v2/users/{user}/operations/pending");
        var history = Request("GET", $"/v2/users/{user}/operations");

        yield return ("create", [], [.. journeys.Select(journey => Create(journey.User, journey.Id))]);
        yield return ("create, second of a user", [], [.. journeys.Select(journey => Create(journey.User, ApiClient.NewId()))]);
        yield return ("decide", [], [.. journeys.Select(Decide)]);
        yield return ("read, warm", [read], Repeat(read));
        yield return ("list of 3, warm", [.. Enumerable.Range(0, 3).Select(_ => Create(user, ApiClient.NewId())), list], Repeat(list));
        yield return ("history of 3", [history], Repeat(history));
    }

    private static byte[] Create(string user, string id) =>
        Request("POST", $"/v2/users/{user}/operations", ("operationId", id), ("externalUserId", "jane"), ("operationPayload", Payload));

    private static byte[] Decide((string User, string Id) journey) =>
        Request("POST", $"/v2/operations/{journey.Id}/decision", ("userId", journey.User), ("decision", "approve"), ("authType", "biom"), ("operationPayload", Payload));

    private static byte[] Request(string method, string target, params (string Name, string? Value)[] members)
    {
        var body = members.Length > 0 ? ApiClient.Object(members) : "";
        var length = members.Length > 0 ? string.Create(CultureInfo.InvariantCulture, $"Content-Type: application/json\r\nContent-Length: {body.Length}\r\n") : "";
        return Encoding.ASCII.GetBytes($"{method} {target} HTTP/1.1\r\nHost: localhost\r\nX-Api-Key: {TestCustomers.AcmeBoth}\r\n{length}\r\n{body}");
    }

    private static byte[][] Repeat(byte[] request) => [.. Enumerable.Repeat(request, Calls)];

    // Allocates nothing between two requests: what the process allocates is the service's.
    private sealed class SilentClient : IDisposable
    {
        private readonly Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = 30_000 };
        private readonly byte[] answer = new byte[65_536];

        public SilentClient(Uri api) => socket.Connect(IPEndPoint.Parse(api.Authority));

        public void Send(byte[][] requests) => Array.ForEach(requests, Send);

        public void Dispose() => socket.Dispose();

        private void Send(byte[] request)
        {
            socket.Send(request);
            var length = 0;
            do
            {
                var read = socket.Receive(answer.AsSpan(length));
                length += read > 0 ? read : throw new IOException("The service closed the connection.");
            }
            while (!IsWhole(answer.AsSpan(0, length)));

            if (!answer.AsSpan(0, length).StartsWith("HTTP/1.1 200 "u8))
            {
                throw new InvalidOperationException(Encoding.UTF8.GetString(answer, 0, length));
            }
        }

        private static bool IsWhole(ReadOnlySpan<byte> answer)
        {
            var head = answer.IndexOf("\r\n\r\n"u8);
            var name = answer.IndexOf("Content-Length: "u8);
            return head >= 0 && (name < 0
                ? answer.EndsWith("\r\n0\r\n\r\n"u8)
                : Utf8Parser.TryParse(answer[(name + 16)..], out int length, out _) && answer.Length == head + 4 + length);
        }
    }
}
