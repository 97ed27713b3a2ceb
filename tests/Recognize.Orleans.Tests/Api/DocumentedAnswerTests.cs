using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

/// <summary>The other direction of what every test checks: what the document has, the service answers.</summary>
public sealed class DocumentedAnswerTests
{
    // Each of its characters is sent in six bytes.
    private static readonly string Longest = new('\u0001', OperationLimits.Payload);

    private readonly string user = ApiClient.NewUser();

    [Fact]
    public async Task Every_answer_of_the_document_is_given_and_every_problem_type()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        Answer[] seen = [.. await AnswersOfRulesAsync(database), .. await AnswersOfFaultsAsync(database), .. await AnswersOfTooManyCallsAsync()];

        var unseen = ApiDocument.Calls.SelectMany(call => call.Answers).Except(seen.Select(answer => answer.Documented!)).ToList();
        Assert.True(unseen.Count == 0, $"Ask for these answers of {ApiDocument.Name} in {nameof(DocumentedAnswerTests)}, or take them out of it:\n{string.Join('\n', unseen)}");
        var untold = Problems.All.Select(problem => problem.Name).Except(seen.Select(answer => answer.ProblemName)).ToList();
        Assert.True(untold.Count == 0, $"Ask for these problems in {nameof(DocumentedAnswerTests)}, or take them away: {string.Join(", ", untold)}");
    }

    private async Task<IEnumerable<Answer>> AnswersOfRulesAsync(TestDatabase database)
    {
        await using var service = await TestService.StartAsync(database, new()
        {
            ["Recognize:Operations:PendingLimit"] = "2",
            ["Recognize:Operations:PendingBytes"] = $"{OperationSettings.LeastPendingBytes}",
            ["Recognize:Waits:PerCustomer"] = "1",
        });
        var acme = service.Acme;
        Answer[] life =
        [
            await acme.CreateAsync(user, "asked", "pay", authType: "pin"),
            await acme.CreateExpiringAsync(user, "expired", 5),
            await acme.CreateAsync(user, "one-too-many"),
            await acme.CreateAsync("A1", "longest", Longest, idempotencyKey: "first"),
            await acme.CreateAsync("A1", "longest", "other", idempotencyKey: "first"),
            await acme.CreateAsync("A1", "longest"),
            await acme.CreateAsync("A1", "too-long-then", Longest),
            await acme.DecideAsync("asked", "A1"),
            await acme.DecideAsync("asked", user, authType: "biom"),
            await acme.DecideAsync("asked", user, payload: "other"),
            await acme.DecideAsync("asked", user),
            await acme.DecideAsync("asked", user, "deny"),
            await acme.CancelAsync("asked", "{}"),
            await acme.CancelAsync("longest", "{}"),
            await acme.DecideAsync("longest", "A1"),
            await acme.DecideAsync("none", user),
            await acme.CancelAsync("none", "{}"),
            await acme.ReadAsync("none"),
            await acme.WaitAsync("expired"),
            await acme.DecideAsync("expired", user),
            await acme.CancelAsync("expired", "{}"),
            await acme.GetAsync($"/v2/users/{user}/operations"),
            await acme.ListAsync(user),
            await acme.GetAsync("/v2/none"),
            await acme.SendRawAsync("PUT", "/v2/operations/asked"),
        ];
        (string, string) known = ("If-None-Match", (await acme.ListAsync("A2"))["ETag"]!);
        (await acme.CreateAsync("A3", "waits")).ShouldBeSuccess();
        using var stream = await acme.FollowAsync("A3");
        await stream.NextListAsync();
        Answer[] waits =
        [
            stream.Head,
            await acme.GetAsync("/v2/users/A2/operations/pending", known),
            await acme.GetAsync("/v2/users/A2/operations/pending", known, ("Prefer", "wait=60")),
            await acme.WaitAsync("waits"),
            await acme.SendRawAsync("GET", "/v2/users/A3/operations/events"),
        ];
        return
        [
            .. life,
            .. waits,
            .. await AskAsync(new(service.Api, key: null), Calls(user, "asked")),
            .. await AskAsync(new(service.Api, TestCustomers.AcmeOperations), Calls(user, "asked").Where(call => call.IsForApprovers)),
            .. await AskAsync(new(service.Api, TestCustomers.AcmeDecisions), Calls(user, "asked").Where(call => call.IsForBackends)),
            .. await AskAsync(acme, Calls(user, "asked"), ("Accept", "text/plain")),
            .. await AskAsync(acme, Calls("a1", "%ff")),
            .. await AskAsync(acme, Calls(user, "asked").Where(call => call.Body is not null), ("Content-Type", "text/plain")),
            .. await AskAsync(acme, Calls(user, "asked").Where(call => call.Body is not null).Select(call => call with { Body = new byte[ApiContract.LongestBody + 1] })),
            .. await Task.WhenAll(Calls(user, "asked").Where(call => call.Body is not null).SelectMany(call => new[]
            {
                SendAsync(service.Api, call.Target, "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n"),
                SendAsync(service.Api, call.Target, "Content-Length: 10\r\n\r\n{"),
            })),
        ];
    }

    private static async Task<IEnumerable<Answer>> AnswersOfFaultsAsync(TestDatabase database)
    {
        await using var service = await TestService.StartAsync(database);
        await database.ExecuteAsync("ALTER TABLE OrleansStorage RENAME TO Elsewhere");
        await using var broken = await TestService.StartAsync(StorageEngine.Sqlite, configure: builder => builder.Services.AddSingleton<IIncomingGrainCallFilter, FaultOfTheProgram>());
        return [.. await AskAsync(service.Acme, Calls("A4", "lost")), .. await AskAsync(broken.Acme, Calls("A4", "lost"))];
    }

    // While the only call that may be in flight is held back, every other one is refused: at once, or after a second in the queue.
    private async Task<IEnumerable<Answer>> AnswersOfTooManyCallsAsync()
    {
        var storage = new StorageTrouble();
        await using var service = await TestService.StartAsync(
            StorageEngine.Sqlite,
            new() { ["Recognize:Calls:PerCustomer"] = "1" },
            builder => builder.Host.ConfigureContainer<IServiceCollection>((_, services) => storage.Surround(services)));
        using var held = storage.HoldNextRead(service.Services.GetRequiredService<IGrainFactory>().GetOperation(new(Journey.Customer, "held")));
        var first = service.Acme.ReadAsync("held");
        await held.Reached;
        var refused = await AskAsync(service.Acme, Calls(user, "asked"));
        held.Dispose();
        return [await first, .. refused];
    }

    private static Task<Answer[]> AskAsync(ApiClient client, IEnumerable<Request> calls, params (string Name, string Value)[] headers) =>
        Task.WhenAll(calls.Select(call => client.SendRawAsync(call.Method, call.Target, call.Body, headers)));

    private static Task<Answer> SendAsync(Uri api, string target, string body) => RawHttp.SendAsync(api, Encoding.ASCII.GetBytes(
        $"POST {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Api-Key: {TestCustomers.AcmeBoth}\r\nContent-Type: application/json\r\n{body}"));

    // Every call of the document. Members that a call does not know are ignored, so that one body does for all.
    private static IEnumerable<Request> Calls(string user, string id) =>
        from call in ApiDocument.Calls
        let route = call.Route.Replace("{userId}", user, StringComparison.Ordinal).Replace("{operationId}", id, StringComparison.Ordinal).Split(' ')
        let body = $$"""{"operationId":"{{id}}","userId":"{{user}}","decision":"approve","authType":"pin"}"""
        select new Request(route[0], route[1], route[0] is "POST" ? Encoding.UTF8.GetBytes(body) : null);

    private sealed record Request(string Method, string Target, byte[]? Body)
    {
        public bool IsForApprovers => Target.EndsWith("/decision", StringComparison.Ordinal);

        public bool IsForBackends => !IsForApprovers && (Body is not null || Target.StartsWith("/v2/operations/", StringComparison.Ordinal));
    }

    private sealed class FaultOfTheProgram : IIncomingGrainCallFilter
    {
        public Task Invoke(IIncomingGrainCallContext context) => context.Grain is UserGrain or OperationGrain ? throw new InvalidCastException("A fault of the program.") : context.Invoke();
    }
}
