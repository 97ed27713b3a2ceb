using System.Text;
using System.Text.Unicode;

namespace Recognize.Orleans.Benchmarks;

/// <summary>Writes one whole request.</summary>
/// <param name="buffer">Where to.</param>
/// <param name="headers">The header lines that every request carries.</param>
/// <param name="sequence">A number that no other iteration of the run has.</param>
/// <returns>The length of the request in bytes.</returns>
internal delegate int RequestWriter(Span<byte> buffer, string headers, long sequence);

/// <summary>One request of an iteration, and the status that it must be answered with.</summary>
internal sealed record Step(int Status, RequestWriter Write);

/// <summary>What is sent. An iteration is all steps, one after the other on one connection; what is counted and timed are iterations.</summary>
/// <param name="Name">Its name in the tables.</param>
/// <param name="Prepare">What a server must hold before; called once per server and number of connections.</param>
/// <param name="Steps">The requests of an iteration.</param>
internal sealed record Scenario(string Name, Func<Server, CancellationToken, Task> Prepare, IReadOnlyList<Step> Steps)
{
    private const int WarmOperations = 1_000;

    public static readonly IReadOnlyList<Scenario> All =
    [
        new("get warm", PrepareWarmAsync, [new(200, (buffer, headers, sequence) => WriteGet(buffer, headers, $"warm-{sequence % WarmOperations}"))]),
        new("create", (_, _) => Task.CompletedTask, [new(200, (buffer, headers, sequence) => WriteCreate(buffer, headers, $"txn-20250521-{sequence}", sequence))]),
    ];

    private static async Task PrepareWarmAsync(Server server, CancellationToken cancellationToken)
    {
        var probe = new Step(200, (buffer, headers, _) => WriteGet(buffer, headers, "warm-0"));
        var isFirst = !server.Contestant.KeepsOperations || await LoadGenerator.StatusOfAsync(server, probe, cancellationToken) == 404;
        if (isFirst)
        {
            var number = -1L;
            var create = new Step(200, (buffer, headers, _) =>
            {
                var next = Interlocked.Increment(ref number);
                return WriteCreate(buffer, headers, $"warm-{next}", next);
            });
            await LoadGenerator.RunAsync(server, [create], connections: 8, LoadGenerator.For(WarmOperations), cancellationToken);
        }

        var answer = await LoadGenerator.AskAsync(server, probe, cancellationToken);
        if (server.Contestant.KeepsOperations && !(answer.Contains("\"operationId\":\"warm-0\"", StringComparison.Ordinal) && answer.Contains("\"operationPayload\":\"Approve", StringComparison.Ordinal)))
        {
            throw server.Failure($"does not give back what it was sent, but {answer}");
        }
    }

    private static int WriteGet(Span<byte> buffer, string headers, string operationId) =>
        Utf8.TryWrite(buffer, $"GET /v2/operations/{operationId} HTTP/1.1\r\n{headers}\r\n", out var length) ? length : throw TooLong();

    private static int WriteCreate(Span<byte> buffer, string headers, string operationId, long sequence)
    {
        const int Users = 20_000;
        var body = $$"""{"operationId":"{{operationId}}","externalUserId":"custom-name@example.com","operationPayload":"Approve wire transfer of $500 to account 1234"}""";
        return Utf8.TryWrite(
            buffer,
            $"POST /v2/users/{0xA1B2_0000_0000 + (sequence % Users):X12}/operations HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}",
            out var length) ? length : throw TooLong();
    }

    private static InvalidOperationException TooLong() => new("The request does not fit the buffer.");
}
