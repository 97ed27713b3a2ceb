using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>A client of the API with one key, or with none.</summary>
internal sealed class ApiClient(Uri api, string? key)
{
    private static readonly HttpClient Http = new(new SocketsHttpHandler { AllowAutoRedirect = false });
    private static readonly JsonSerializerOptions AsTyped = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A user that no other test has.</summary>
    public static string NewUser() => Guid.NewGuid().ToString("N")[..16].ToUpperInvariant();

    /// <summary>An operation id that no other test has.</summary>
    public static string NewId() => $"txn-{Guid.NewGuid():N}";

    /// <summary>Sends a request with a library, which tidies up its path.</summary>
    public async Task<Answer> SendAsync(HttpMethod method, string path, HttpContent? content = null, params (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, new Uri(api, path)) { Content = content };
        foreach (var (name, value) in (key is null ? headers : [("X-Api-Key", key), .. headers]))
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        using var response = await Http.SendAsync(request);
        return ApiDocument.Check(method.Method, request.RequestUri!.PathAndQuery, await Answer.ReadAsync(response));
    }

    /// <summary>Sends a request as it is written here, over a socket of its own.</summary>
    public Task<Answer> SendRawAsync(string method, string target, byte[]? body = null, params (string Name, string Value)[] headers)
    {
        IEnumerable<(string, string)> all = headers.Any(header => header.Name is "Host") ? headers : [("Host", api.Authority), .. headers];
        all = key is null ? all : all.Append(("X-Api-Key", key));
        all = body is null || headers.Any(header => header.Name is "Content-Type") ? all : all.Append(("Content-Type", "application/json"));
        return RawHttp.SendAsync(api, RawHttp.Request(method, target, all, body));
    }

    public Task<Answer> GetAsync(string path, params (string Name, string Value)[] headers) => SendAsync(HttpMethod.Get, path, null, headers);

    public async Task<Answer> PostAsync(string path, string json, params (string Name, string Value)[] headers)
    {
        using var content = new StringContent(json, Encoding.UTF8, "application/json");
        return await SendAsync(HttpMethod.Post, path, content, headers);
    }

    public Task<Answer> CreateAsync(string user, string id, string? payload = null, string? externalUserId = null, string? authType = null, string? idempotencyKey = null)
    {
        var body = Object(("operationId", id), ("externalUserId", externalUserId), ("operationPayload", payload), ("authType", authType));
        return PostAsync($"/v2/users/{user}/operations", body, idempotencyKey is null ? [] : [("Idempotency-Key", idempotencyKey)]);
    }

    /// <summary>Creates operations one after the other, each when the one before is there.</summary>
    public Task CreateInOrderAsync(string user, IEnumerable<string> ids, string? payload = null) =>
        InOrder.ForEachAsync(ids, async id => (await CreateAsync(user, id, payload)).ShouldBeSuccess());

    /// <summary>Creates an operation with a deadline.</summary>
    public Task<Answer> CreateExpiringAsync(string user, string id, int seconds) =>
        PostAsync($"/v2/users/{user}/operations", $$"""{"operationId":"{{id}}","expiresIn":{{seconds}}}""");

    /// <summary>Sends a create whose body is written out by the test.</summary>
    public Task<Answer> CreateAsync(string user, byte[] body, params (string Name, string Value)[] headers) =>
        SendRawAsync("POST", $"/v2/users/{user}/operations", body, headers);

    public Task<Answer> DecideAsync(string id, string user, string decision = "approve", string authType = "pin", string? payload = null) =>
        SendRawAsync("POST", $"/v2/operations/{Uri.EscapeDataString(id)}/decision", Encoding.UTF8.GetBytes(
            Object(("userId", user), ("decision", decision), ("authType", authType), ("operationPayload", payload))));

    public Task<Answer> CancelAsync(string id, string json) => PostAsync($"/v2/operations/{id}/cancel", json);

    /// <summary>Reads an operation, and waits for it to leave pending.</summary>
    public Task<Answer> WaitAsync(string id, int seconds = 60) => GetAsync($"/v2/operations/{id}", ("Prefer", $"wait={seconds}"));

    /// <summary>Reads an operation, waits for it to leave pending, and goes away before that.</summary>
    public async Task LeaveAsync(string id, Task parked)
    {
        using var gone = new CancellationTokenSource();
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(api, $"/v2/operations/{id}"));
        request.Headers.TryAddWithoutValidation("X-Api-Key", key);
        request.Headers.TryAddWithoutValidation("Prefer", "wait=60");
        var waiting = Http.SendAsync(request, gone.Token);
        await parked;
        await gone.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
    }

    /// <summary>Opens the stream of a user's pending operations.</summary>
    public async Task<EventStream> FollowAsync(string user, string? lastEventId = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(api, $"/v2/users/{user}/operations/events"));
        request.Headers.TryAddWithoutValidation("X-Api-Key", key);
        request.Headers.TryAddWithoutValidation("Accept", "text/event-stream");
        if (lastEventId is not null)
        {
            request.Headers.TryAddWithoutValidation("Last-Event-ID", lastEventId);
        }

        return await EventStream.BeginAsync(await Http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead));
    }

    /// <summary>Reads an operation; its id is percent-encoded to the last character that needs it.</summary>
    public Task<Answer> ReadAsync(string id) => SendRawAsync("GET", $"/v2/operations/{Uri.EscapeDataString(id)}");

    public Task<Answer> ListAsync(string user) => GetAsync($"/v2/users/{user}/operations/pending");

    /// <summary>Asks for the list until the calls are not too many any more.</summary>
    public async Task ServedAgainAsync(string user)
    {
        while ((await ListAsync(user)).Status is 429)
        {
        }
    }

    /// <summary>The ids of a user's pending operations.</summary>
    public async Task<IReadOnlyList<string?>> PendingIdsAsync(string user) =>
        [.. (await ListAsync(user)).ShouldBe(200).Json.EnumerateArray().Select(operation => operation.GetProperty("operationId").GetString())];

    /// <summary>A JSON object of texts; those that are null are left out.</summary>
    public static string Object(params (string Name, string? Value)[] members) =>
        new JsonObject(members.Where(member => member.Value is not null).Select(member => KeyValuePair.Create(member.Name, (JsonNode?)member.Value)))
            .ToJsonString(AsTyped);
}
