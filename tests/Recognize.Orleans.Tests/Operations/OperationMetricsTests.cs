using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Operations;

public sealed class OperationMetricsTests
{
    private static readonly string[] Outcomes =
    [
        "already-approved", "already-decided", "already-denied", "auth-type-not-allowed", "cancelled", "done", "duplicate", "expired",
        "idempotency-key-reused", "not-found", "payload-mismatch", "pending-bytes-reached", "pending-limit-reached", "wrong-user",
    ];

    [Fact]
    public async Task Every_call_is_counted_under_tags_from_closed_sets()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new() { ["Recognize:Operations:PendingLimit"] = "1" });
        var seen = new ConcurrentBag<(string Instrument, string Tags)>();
        using var listener = Listen(service, seen);
        var user = ApiClient.NewUser();
        var api = service.Acme;

        await api.CreateAsync(user, "txn-1", "payload", authType: "pin", idempotencyKey: "key-1");
        await api.CreateAsync(user, "txn-1");
        await api.CreateAsync(user, "txn-1", "other", idempotencyKey: "key-1");
        await api.CreateAsync(user, "txn-2");
        await api.DecideAsync("txn-1", ApiClient.NewUser());
        await api.DecideAsync("txn-1", user, authType: "biom");
        await api.DecideAsync("txn-1", user, payload: "other");
        await api.DecideAsync("txn-1", user, "deny");
        await api.DecideAsync("txn-1", user);
        await api.DecideAsync("nobody's", user);
        await api.ReadAsync("txn-1");
        await api.ReadAsync("%");
        await api.ListAsync(user);
        await api.GetAsync("/v2/no/such/path");
        await api.SendRawAsync("BREW", "/v2/operations/txn-1");
        await new ApiClient(service.Api, "wrong").ListAsync(user);

        Assert.Equal(
            ["outcome=done", "outcome=duplicate", "outcome=idempotency-key-reused", "outcome=pending-limit-reached"],
            Tags("recognize.creates"));
        Assert.Equal(
            [
                "outcome=already-decided,verdict=approve", "outcome=auth-type-not-allowed,verdict=approve", "outcome=done,verdict=deny",
                "outcome=not-found,verdict=approve", "outcome=payload-mismatch,verdict=approve", "outcome=wrong-user,verdict=approve",
            ],
            Tags("recognize.decisions"));
        Assert.Subset(Problems.All.Select(problem => $"error.type={problem.Name}").ToHashSet(), Tags("recognize.refusals").ToHashSet());
        Assert.Contains("error.type=invalid-api-key", Tags("recognize.refusals"));
        Assert.Subset(
            (from call in (string[])["POST /v2/users/{userId}/operations", "POST /v2/operations/{operationId}/decision", "GET /v2/operations/{operationId}", "GET /v2/users/{userId}/operations/pending"]
             from status in (int[])[200, 400, 404, 409]
             let words = call.Split(' ')
             select $"http.request.method={words[0]},http.response.status_code={status},http.route={words[1]}").ToHashSet(),
            Tags("recognize.call.duration").ToHashSet());
        Assert.Empty(Tags("recognize.faults"));

        string[] Tags(string instrument) => [.. seen.Where(each => each.Instrument == instrument).Select(each => each.Tags).Distinct().Order(StringComparer.Ordinal)];
    }

    [Fact]
    public async Task A_fault_is_counted_by_its_kind()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var service = await TestService.StartAsync(database);
        var seen = new ConcurrentBag<(string Instrument, string Tags)>();
        using var listener = Listen(service, seen);

        await database.ExecuteAsync("ALTER TABLE OrleansStorage RENAME TO Elsewhere");
        await service.Acme.ReadAsync("txn-1");
        await service.Acme.CreateAsync(ApiClient.NewUser(), "txn-1");
        Assert.Equal(["error.type=storage", "error.type=storage"], Faults());

        await ((GroupCommitStorage)service.Services.GetRequiredService<IGrainStorage>()).StopAsync(CancellationToken.None);
        await service.Services.GetRequiredService<RowReader>().StopAsync(CancellationToken.None);
        await service.Acme.ReadAsync("txn-1");
        Assert.Equal(["error.type=busy", "error.type=storage", "error.type=storage"], Faults());

        IEnumerable<string> Faults() => seen.Where(each => each.Instrument is "recognize.faults").Select(each => each.Tags).Order(StringComparer.Ordinal);
    }

    [Fact]
    public void Every_outcome_has_a_name_of_its_own() =>
        Assert.Equal(Outcomes, ValuesOf("recognize.creates", "outcome", metrics => Array.ForEach(Enum.GetValues<OperationOutcome>(), metrics.Created)));

    [Fact]
    public void Every_verdict_has_a_name_of_its_own() => Assert.Equal(
        ["approve", "deny"],
        ValuesOf("recognize.decisions", "verdict", metrics => Array.ForEach(Enum.GetValues<Verdict>(), verdict => metrics.Decided(verdict, OperationOutcome.Done))));

    private static IEnumerable<string> ValuesOf(string name, string tag, Action<OperationMetrics> count)
    {
        using var services = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var metrics = new OperationMetrics(services.GetRequiredService<IMeterFactory>());
        var values = new List<string>();
        using var listener = new MeterListener();
        listener.InstrumentPublished = (instrument, owner) =>
        {
            if (instrument.Name == name && instrument.Meter.Scope == services.GetRequiredService<IMeterFactory>())
            {
                owner.EnableMeasurementEvents(instrument);
            }
        };
        listener.SetMeasurementEventCallback<long>((_, _, tags, _) => values.Add((string)tags.ToArray().Single(each => each.Key == tag).Value!));
        listener.Start();
        count(metrics);
        return values.Order(StringComparer.Ordinal);
    }

    // Other services of this process count too; each has a factory of meters of its own.
    private static MeterListener Listen(TestService service, ConcurrentBag<(string, string)> seen)
    {
        var listener = new MeterListener
        {
            InstrumentPublished = (instrument, owner) =>
            {
                if (instrument.Meter.Name is Instruments.MeterName && instrument.Meter.Scope == service.Services.GetRequiredService<IMeterFactory>())
                {
                    owner.EnableMeasurementEvents(instrument);
                }
            },
        };
        listener.SetMeasurementEventCallback<long>((instrument, _, tags, _) => seen.Add((instrument.Name, Text(tags))));
        listener.SetMeasurementEventCallback<double>((instrument, _, tags, _) => seen.Add((instrument.Name, Text(tags))));
        listener.Start();
        return listener;
    }

    private static string Text(ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        string.Join(',', tags.ToArray().Select(tag => $"{tag.Key}={tag.Value}").Order(StringComparer.Ordinal));
}
