using System.Collections.Concurrent;
using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Recognize.Orleans.Fixtures;

namespace Recognize.Orleans.FaultInjection;

/// <summary>Clients that create, decide, cancel, read, list and wait at random, often several at one operation, and keep every answer.</summary>
/// <param name="nodes">Who is asked.</param>
/// <param name="balancer">Who says which of them; null: each client asks one.</param>
/// <param name="seed">What they do.</param>
internal sealed class RandomClients(IReadOnlyList<(string Name, Uri Api)> nodes, FickleBalancer? balancer, int seed) : IDisposable
{
    private const int Clients = 15;
    private const int Outstanding = 12;

    // How many of the newest operations are asked about: mostly what others ask about just now, sometimes what comes to its deadline or is long over.
    private static readonly int[] Windows = [20, 20, 20, 100, 100, 100, int.MaxValue];

    // A node that is gone refuses at once: clients must not be busy with that alone.
    private static readonly TimeSpan PauseAfterLoss = TimeSpan.FromMilliseconds(500);

    private static readonly string[] Users = ["A1", "A2", "A3", "A4", "A5"];

    private readonly HttpClient http = new(new DocumentedAnswers { InnerHandler = new SocketsHttpHandler { PooledConnectionLifetime = TimeSpan.FromSeconds(20) } }) { Timeout = Timeout.InfiniteTimeSpan };
    private readonly Stopwatch clock = Stopwatch.StartNew();
    private readonly ConcurrentQueue<Observation> answers = [];
    private readonly ConcurrentDictionary<string, (string Tag, IReadOnlyList<Told> Told)> lists = [];
    private readonly List<Question> questions = [];
    private int asked;

    public IReadOnlyCollection<Observation> Answers => answers;

    public TimeSpan Now => clock.Elapsed;

    /// <summary>Asks until it is ended; each client then waits for the answers that it has not got yet.</summary>
    public Task RunAsync(CancellationToken end) => Task.WhenAll(Enumerable.Range(0, Clients).Select(client => Task.Run(
        async () =>
        {
            var random = new Random((seed * 1_000) + client);
            var steps = new List<Task>();
            while (!end.IsCancellationRequested)
            {
                // Whoever is not answered soon asks on: what is sent to a node that stands still lies in its sockets, and is many requests.
                var step = StepAsync(random, client);
                steps.Add(step);
                await Task.WhenAny(step, Task.Delay(150, CancellationToken.None));
                await Task.Delay(random.Next(5, 60), CancellationToken.None);
                steps.RemoveAll(one => one.IsCompletedSuccessfully);
                await (steps.Count > Outstanding ? Task.WhenAny(steps) : Task.CompletedTask);
            }

            await Task.WhenAll(steps);
        },
        CancellationToken.None)));

    /// <summary>Asks every node for everything that there is, and then the database.</summary>
    public async Task AskForEverythingAsync(TestDatabase database)
    {
        var patience = ServiceProcess.Patience;
        var many = new ParallelOptions { MaxDegreeOfParallelism = Clients };
        await Parallel.ForEachAsync(nodes.SelectMany(node => questions, (node, question) => (node, question)), many, async (one, _) =>
            await SendAsync(Call.Read, one.node, one.question.User, one.question, HttpMethod.Get, $"operations/{one.question.Id}", patience));
        await Parallel.ForEachAsync(nodes.SelectMany(node => Users, (node, user) => (node, user)), many, async (one, _) =>
        {
            await SendAsync(Call.List, one.node, one.user, null, HttpMethod.Get, $"users/{one.user}/operations/pending", patience);
            await AskForHistoryAsync(one.node, one.user);
        });
        var sent = Now;
        var rows = await database.QueryAsync("SELECT OperationId, Status, Id, UserId FROM RecognizeOperations");
        answers.Enqueue(new(Call.View, "the database", "", null, sent, Now, 200)
        {
            Told = [.. rows.Select(row => new Told((string)row["operationId"]!, (string)row["status"]!, Number: Convert.ToInt64(row["id"], null), User: (string)row["userId"]!))],
        });
    }

    public void Dispose() => http.Dispose();

    private async Task StepAsync(Random random, int client)
    {
        var patience = TimeSpan.FromSeconds(random.Next(3) == 0 ? 2 : 15);
        if (random.Next(100) < 15 || Pick(random) is not { } question)
        {
            // Others ask about it when it is answered; sometimes before.
            var next = NewQuestion(random);
            var isKnown = random.Next(5) == 0;
            MakeKnown(isKnown ? next : null);
            await CreateAsync(NodeOfUser(next), next, patience);
            MakeKnown(isKnown ? null : next);
            return;
        }

        var path = $"operations/{question.Id}";
        var (node, userNode) = (nodes[balancer?.NodeOfOperation(question.Id) ?? client % nodes.Count], NodeOfUser(question));
        await (random.Next(100) switch
        {
            < 15 => CreateAsync(userNode, question, patience),
            < 30 => SendAsync(Call.Approve, node, question.User, question, HttpMethod.Post, path + "/decision", patience, Decision(question, "approve")),
            < 38 => SendAsync(Call.Deny, node, question.User, question, HttpMethod.Post, path + "/decision", patience, Decision(question, "deny")),
            < 44 => SendAsync(Call.Cancel, node, question.User, question, HttpMethod.Post, path + "/cancel", patience, []),
            < 64 => SendAsync(Call.Read, node, question.User, question, HttpMethod.Get, path, patience),
            < 70 => SendAsync(Call.Wait, node, question.User, question, HttpMethod.Get, path, patience + TimeSpan.FromSeconds(4), null, ("Prefer", $"wait={random.Next(1, 5)}")),
            < 94 => ListAsync(userNode, question.User, patience, random.Next(5) == 0 ? random.Next(1, 4) : 0),
            _ => SendAsync(Call.History, userNode, question.User, null, HttpMethod.Get, $"users/{question.User}/operations?limit=100", patience),
        });

        (string, Uri) NodeOfUser(Question question) => nodes[balancer?.NodeOfUser(question.User) ?? client % nodes.Count];
    }

    private static JsonObject Decision(Question question, string verdict) => new() { ["userId"] = question.User, ["authType"] = "pin", ["decision"] = verdict };

    private Question NewQuestion(Random random) => new(
        Users[random.Next(Users.Length)],
        $"txn-{Interlocked.Increment(ref asked)}",
        random.Next(2) == 0 ? null : random.Next(5, 9),
        random.Next(2) == 0);

    private void MakeKnown(Question? question)
    {
        lock (questions)
        {
            questions.AddRange(question is null ? [] : [question]);
        }
    }

    private Question? Pick(Random random)
    {
        lock (questions)
        {
            var oldest = Math.Max(0, questions.Count - Windows[random.Next(Windows.Length)]);
            return questions.Count == 0 ? null : questions[random.Next(oldest, questions.Count)];
        }
    }

    private Task CreateAsync((string, Uri) node, Question question, TimeSpan patience)
    {
        var body = new JsonObject { ["operationId"] = question.Id, ["operationPayload"] = $"pay {question.Id}" };
        if (question.ExpiresIn is { } seconds)
        {
            body["expiresIn"] = seconds;
        }

        return SendAsync(
            Call.Create, node, question.User, question, HttpMethod.Post, $"users/{question.User}/operations", patience, body,
            question.HasKey ? [("Idempotency-Key", question.Id)] : []);
    }

    private async Task ListAsync((string, Uri) node, string user, TimeSpan patience, int wait)
    {
        var last = wait > 0 ? lists.GetValueOrDefault(user) : default;
        (string, string)[] headers = last.Tag is null ? [] : [("If-None-Match", last.Tag), ("Prefer", $"wait={wait}")];
        var (answer, _, tag) = await AskAsync(Call.List, node, user, null, HttpMethod.Get, $"users/{user}/operations/pending", patience + TimeSpan.FromSeconds(wait), null, headers);
        answers.Enqueue(answer.Status is 304 ? answer with { Told = last.Told } : answer);
        if (tag is not null)
        {
            lists[user] = (tag, answer.Status is 304 ? last.Told : answer.Told);
        }
    }

    private async Task AskForHistoryAsync((string Name, Uri Api) node, string user)
    {
        var pages = new List<Observation>();
        for (var query = "?limit=100"; query is not null;)
        {
            var (page, cursor, _) = await AskAsync(Call.History, node, user, null, HttpMethod.Get, $"users/{user}/operations{query}", ServiceProcess.Patience, null, []);
            pages.Add(page);
            query = cursor is null ? null : $"?limit=100&cursor={cursor}";
        }

        answers.Enqueue(pages[0] with { Answered = pages[^1].Answered, Status = pages[^1].Status, Told = [.. pages.SelectMany(page => page.Told)], IsComplete = true });
    }

    private async Task SendAsync(
        Call call, (string, Uri) node, string user, Question? question, HttpMethod method, string path, TimeSpan patience, JsonObject? body = null, params (string, string)[] headers) =>
        answers.Enqueue((await AskAsync(call, node, user, question, method, path, patience, body, headers)).Answer);

    private async Task<(Observation Answer, string? Cursor, string? Tag)> AskAsync(
        Call call, (string Name, Uri Api) node, string user, Question? question, HttpMethod method, string path, TimeSpan patience, JsonObject? body, (string Name, string Value)[] headers)
    {
        using var request = new HttpRequestMessage(method, new Uri(node.Api, "/v2/" + path)) { Content = body is null ? null : new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json") };
        request.Headers.Add("X-Api-Key", ServiceProcess.Key);
        foreach (var (name, value) in headers)
        {
            request.Headers.TryAddWithoutValidation(name, value);
        }

        using var gone = new CancellationTokenSource(patience);
        var sent = new Observation(call, node.Name, user, question?.Id, Now, default, 0)
        {
            Attempt = question is null ? null : question.HasKey ? question.Id : Guid.NewGuid().ToString("N"),
            Lifetime = question?.ExpiresIn is { } seconds ? TimeSpan.FromSeconds(seconds) : null,
        };
        try
        {
            using var response = await http.SendAsync(request, gone.Token);
            var text = await response.Content.ReadAsStringAsync(gone.Token);
            sent = sent with { Answered = Now, Status = (int)response.StatusCode };
            var json = text.Length == 0 ? default : JsonDocument.Parse(text).RootElement;
            var cursor = sent is { Call: Call.History, Status: 200 } && json.TryGetProperty("cursor", out var place) ? place.GetString() : null;
            return (sent with { Told = [.. TellingsIn(sent, json)], IsComplete = cursor is null }, cursor, response.Headers.ETag?.ToString());
        }
        catch (Exception lost) when (lost is HttpRequestException or IOException or OperationCanceledException)
        {
            sent = sent with { Answered = Now, Status = 0 };
            await Task.Delay(PauseAfterLoss, CancellationToken.None);
            return (sent, null, null);
        }
    }

    private static IEnumerable<Told> TellingsIn(Observation answer, JsonElement json) => (answer.Call, answer.Status) switch
    {
        (Call.Create, 200) => [new(answer.Id!, null)],
        (Call.Approve, 200) => [new(answer.Id!, "approved")],
        (Call.Deny, 200) => [new(answer.Id!, "denied")],
        (Call.Cancel, 200) => [new(answer.Id!, "cancelled")],
        (Call.Read or Call.Wait, 200) => [ToldBy(json)],
        (Call.List, 200) => json.EnumerateArray().Select(one => new Told(one.GetProperty("operationId").GetString()!, "pending")),
        (Call.History, 200) => json.GetProperty("operations").EnumerateArray().Select(ToldBy),
        (_, 404) => [new(answer.Id!, null, Exists: false)],
        (_, 409) => (json.GetProperty("type").GetString()!["urn:recognize:".Length..], answer.Call) switch
        {
            ("operation-exists" or "idempotency-key-reused", _) => [new(answer.Id!, null)],
            ("operation-expired", _) => [new(answer.Id!, "expired")],
            ("operation-cancelled", _) => [new(answer.Id!, "cancelled")],
            ("operation-already-decided", Call.Approve) => [new(answer.Id!, "denied")],
            ("operation-already-decided", Call.Deny) => [new(answer.Id!, "approved")],
            ("operation-already-decided", _) => [new(answer.Id!, json.GetProperty("detail").GetString()!.Contains("approved", StringComparison.Ordinal) ? "approved" : "denied")],
            _ => [],
        },
        _ => [],
    };

    private static Told ToldBy(JsonElement operation) => new(
        operation.GetProperty("operationId").GetString()!,
        operation.GetProperty("status").GetString()!,
        Number: operation.GetProperty("id").GetInt64(),
        User: operation.GetProperty("userId").GetString());

    /// <summary>An operation that some client has asked to create: everybody sends it with the same members.</summary>
    private sealed record Question(string User, string Id, int? ExpiresIn, bool HasKey);
}
