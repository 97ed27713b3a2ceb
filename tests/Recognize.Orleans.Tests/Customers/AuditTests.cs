using System.Text.Json;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Customers;

/// <summary>The audit log says who did what to which operation, and never what it was about.</summary>
public sealed class AuditTests
{
    private const int Entry = 90;

    private readonly string user = ApiClient.NewUser();

    [Fact]
    public async Task Each_create_decision_and_cancel_is_an_object_with_its_outcome()
    {
        await using var service = await StartAsync("true");
        var api = service.Acme;
        (await api.CreateAsync(user, "txn-1", "transfer 5")).ShouldBeSuccess();
        (await api.CreateAsync(user, "txn-1")).ShouldBe(409);
        (await api.CreateAsync(user, "txn-2")).ShouldBeSuccess();
        (await api.DecideAsync("txn-1", user, "deny", authType: "pin")).ShouldBeSuccess();
        (await api.PostAsync("/v2/operations/txn-2/cancel", """{"reason":"by mistake"}""")).ShouldBeSuccess();
        (await api.DecideAsync("nobody's", user)).ShouldBe(404);

        var lines = await service.Logs.WaitForAsync(Entry, 6);

        var key = CustomerDirectory.HashOf(TestCustomers.AcmeBoth)[..8];
        Assert.Equal(
            [$"create {user} txn-1 done", $"create {user} txn-1 duplicate", $"create {user} txn-2 done", $"deny {user} txn-1 done", "cancel  txn-2 done", $"approve {user} nobody's not-found"],
            lines.Select(line => JsonDocument.Parse(line.Message).RootElement).Select(entry => $"{Of(entry, "action")} {Of(entry, "userId")} {Of(entry, "operationId")} {Of(entry, "outcome")}"));
        Assert.All(lines, line => Assert.Equal(("Recognize.Audit", "acme", key, "operations, decisions"), (line.Category, Of(line, "customer"), Of(line, "key"), Of(line, "scopes"))));
        Assert.All(lines, line => Assert.Matches(@"""time"":""\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z""", line.Message));
        Assert.All(["transfer 5", "by mistake", TestCustomers.AcmeBoth], secret => Assert.DoesNotContain(lines, line => line.Message.Contains(secret, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task A_call_whose_outcome_nobody_knows_is_recorded_as_that()
    {
        await using var service = await StartAsync("true");
        await service.Database.ExecuteAsync("ALTER TABLE OrleansStorage RENAME TO Elsewhere");

        (await service.Acme.CreateAsync(user, "txn-1")).ShouldBe(503);

        Assert.Equal("unknown", Of(Assert.Single(await service.Logs.WaitForAsync(Entry)), "outcome"));
    }

    [Fact]
    public async Task It_is_off_unless_somebody_asks_for_it()
    {
        await using var service = await StartAsync(null);

        (await service.Acme.CreateAsync(user, "txn-1")).ShouldBeSuccess();

        Assert.DoesNotContain(service.Logs.All, line => line.EventId == Entry && line.Category == Audit.Category);
    }

    private static Task<TestService> StartAsync(string? audit) => TestService.StartAsync(StorageEngine.Sqlite, new() { ["Recognize:Audit"] = audit });

    private static string? Of(LogLine line, string member) => Of(JsonDocument.Parse(line.Message).RootElement, member);

    private static string? Of(JsonElement entry, string member) => entry.TryGetProperty(member, out var value) ? value.GetString() : null;
}
