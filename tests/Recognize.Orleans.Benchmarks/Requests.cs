using System.Diagnostics;
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
internal sealed record Step(int Status, RequestWriter Write)
{
    /// <summary>How often an iteration that begins with it begins; null: as soon as the one before is answered.</summary>
    public Pace? Pace { get; init; }

    /// <summary>Whether another answer is none that ends the run, because servers are restarted meanwhile.</summary>
    public bool MayFail { get; init; }
}

/// <summary>Gives out turns, so many a second at most. A turn that came late is not caught up with, so that two of them are never closer.</summary>
internal sealed class Pace(int perSecond)
{
    private readonly long interval = Stopwatch.Frequency / perSecond;
    private readonly Lock giving = new();
    private long last;

    public Task TurnAsync(CancellationToken cancellationToken)
    {
        lock (giving)
        {
            var now = Stopwatch.GetTimestamp();
            last = Math.Max(last + interval, now);
            return Task.Delay(Stopwatch.GetElapsedTime(now, last), cancellationToken);
        }
    }
}

/// <summary>The calls of the API, as bytes.</summary>
internal static class Requests
{
    public const string ExternalUserId = "custom-name@example.com";
    public const string Payload = "Approve wire transfer of $500 to account 1234";

    private const int PastUsers = 20_000;

    /// <summary>The user of a seeded operation; nobody else's.</summary>
    public static string PastUser(long number) => User(0xA1B2_0000_0000, number % PastUsers);

    /// <param name="first">Where the users of a scenario begin: those of two scenarios must not meet.</param>
    /// <param name="number">Which of them.</param>
    public static string User(long first, long number) => $"{first + number:X12}";

    public static int Create(Span<byte> buffer, string headers, string userId, string operationId) => Post(
        buffer,
        headers,
        $"users/{userId}/operations",
        $$"""{"operationId":"{{operationId}}","externalUserId":"{{ExternalUserId}}","operationPayload":"{{Payload}}"}""");

    public static int CreateDue(Span<byte> buffer, string headers, string userId, string operationId, int expiresIn) => Post(
        buffer,
        headers,
        $"users/{userId}/operations",
        $$"""{"operationId":"{{operationId}}","operationPayload":"{{Payload}}","expiresIn":{{expiresIn}}}""");

    public static int Approve(Span<byte> buffer, string headers, string userId, string operationId) => Post(
        buffer,
        headers,
        $"operations/{operationId}/decision",
        $$"""{"userId":"{{userId}}","decision":"approve","authType":"biom"}""");

    public static int Get(Span<byte> buffer, string headers, string operationId) => Get(buffer, headers, "operations/", operationId, "");

    public static int ListPending(Span<byte> buffer, string headers, string userId) => Get(buffer, headers, "users/", userId, "/operations/pending");

    private static int Get(Span<byte> buffer, string headers, string before, string id, string after) =>
        Utf8.TryWrite(buffer, $"GET /v2/{before}{id}{after} HTTP/1.1\r\n{headers}\r\n", out var length) ? length : throw TooLong();

    private static int Post(Span<byte> buffer, string headers, string path, string body) =>
        Utf8.TryWrite(
            buffer,
            $"POST /v2/{path} HTTP/1.1\r\n{headers}Content-Type: application/json\r\nContent-Length: {Encoding.UTF8.GetByteCount(body)}\r\n\r\n{body}",
            out var length) ? length : throw TooLong();

    private static InvalidOperationException TooLong() => new("The request does not fit the buffer.");
}
