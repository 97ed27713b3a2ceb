using System.Globalization;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.FaultInjection;

// The wall clock of a machine with SQLite is set while the service runs, or between two runs.
public sealed class ClockTests
{
    private const string User = "A1";

    private static readonly (string, string)[] Retention = [("Recognize:Operations:Retention", "01:00:00"), ("Recognize:Operations:TombstoneRetention", "02:00:00")];

    private readonly string id = ApiClient.NewId();

    [SkippableTheory]
    [InlineData(40)]
    [InlineData(500)]
    public async Task A_start_days_ahead_removes_nothing_and_frees_no_id(int days)
    {
        using var clock = new ShiftedClock();
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var before = await ServiceProcess.StartAsync(database, "node-1", [.. clock.Settings, .. Retention]);
        var client = new ApiClient(before.ApiUrl, ServiceProcess.Key);
        (await client.CreateAsync(User, id)).ShouldBeSuccess();
        (await client.DecideAsync(id, User)).ShouldBeSuccess();
        (await client.CreateAsync(User, "second")).ShouldBeSuccess();
        (await client.DecideAsync("second", User, "deny")).ShouldBeSuccess();
        await before.KillAsync();

        clock.Set(TimeSpan.FromDays(days));
        await using var service = await ServiceProcess.StartInPlaceOfAsync(before, database, [.. clock.Settings, .. Retention]);
        await LetTimePassAsync(client);

        Assert.Equal("approved", StatusIn(await client.ReadAsync(id)));
        Assert.Equal(["second", id], await service.HistoryAsync(User));
        (await client.CreateAsync(User, id)).ShouldBe(409);
        Assert.Contains(service.Output, line => line.Contains("clock", StringComparison.OrdinalIgnoreCase));
    }

    [SkippableFact]
    public async Task What_was_told_expired_stays_expired_when_the_clock_is_set_back()
    {
        using var clock = new ShiftedClock();
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var before = await ServiceProcess.StartAsync(database, "node-1", clock.Settings);
        var client = new ApiClient(before.ApiUrl, ServiceProcess.Key);
        (await client.CreateExpiringAsync(User, id, 5)).ShouldBeSuccess();
        Assert.Equal("expired", StatusIn(await client.WaitAsync(id)));

        clock.Set(TimeSpan.FromSeconds(-4));
        await AssertExpiredAsync(client);
        clock.Set(TimeSpan.FromSeconds(-60));
        await before.KillAsync();
        await using var service = await ServiceProcess.StartInPlaceOfAsync(before, database, clock.Settings);
        await AssertExpiredAsync(client);
    }

    [SkippableTheory]
    [InlineData(-300)]
    [InlineData(-7_200)]
    [InlineData(7_200)]
    public async Task A_clock_that_is_set_while_the_service_runs_stops_neither_new_operations_nor_waits_nor_heartbeats(int seconds)
    {
        using var clock = new ShiftedClock();
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", clock.Settings);
        var client = new ApiClient(service.ApiUrl, ServiceProcess.Key);
        (await client.CreateAsync(User, id)).ShouldBeSuccess();
        using var stream = await client.FollowAsync(User);
        await stream.NextListAsync();

        clock.Set(TimeSpan.FromSeconds(seconds));

        await InOrder.ForEachAsync(Enumerable.Range(0, 20), async number =>
        {
            (await client.CreateAsync($"B{number:X4}", $"new-{number}")).ShouldBeSuccess();
            (await client.ReadAsync($"new-{number}")).ShouldBe(200);
        });

        (await client.CreateExpiringAsync("C3", "short", 5)).ShouldBeSuccess();
        Assert.Equal("expired", StatusIn(await client.WaitAsync("short").WaitAsync(TimeSpan.FromSeconds(20))));
        Assert.StartsWith(":", Assert.Single(await stream.NextAsync()), StringComparison.Ordinal);
        Assert.Equal("pending", StatusIn(await client.ReadAsync(id)));
    }

    [SkippableFact]
    public async Task A_restart_on_the_same_ports_two_hours_back_goes_on_at_the_newest_time_that_is_stored()
    {
        using var clock = new ShiftedClock();
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var before = await ServiceProcess.StartAsync(database, "node-1", clock.Settings);
        var client = new ApiClient(before.ApiUrl, ServiceProcess.Key);
        (await client.CreateAsync(User, id)).ShouldBeSuccess();
        await before.KillAsync();

        clock.Set(TimeSpan.FromHours(-2));
        await using var service = await ServiceProcess.StartInPlaceOfAsync(before, database, clock.Settings);
        (await client.CreateAsync(User, "next")).ShouldBeSuccess();

        // What the newest silo has used is written down every few seconds.
        Assert.True(await CreatedAtAsync(client, "next") > await CreatedAtAsync(client, id) - TimeSpan.FromSeconds(5));
        using var stream = await client.FollowAsync(User);
        await stream.NextListAsync();
        await LetTimePassAsync(client);
        Assert.StartsWith(":", Assert.Single(await stream.NextAsync()), StringComparison.Ordinal);
        (await client.CreateAsync(User, id)).ShouldBe(409);
    }

    // As long as an operation of its own can be decided.
    private static async Task LetTimePassAsync(ApiClient client)
    {
        var own = ApiClient.NewId();
        (await client.CreateExpiringAsync("EE", own, 6)).ShouldBeSuccess();
        Assert.Equal("expired", StatusIn(await client.WaitAsync(own).WaitAsync(TimeSpan.FromSeconds(20))));
    }

    private async Task AssertExpiredAsync(ApiClient client)
    {
        Assert.Equal("expired", StatusIn(await client.ReadAsync(id)));
        Assert.EndsWith("operation-expired", (await client.DecideAsync(id, User)).ShouldBe(409).Json.GetProperty("type").GetString(), StringComparison.Ordinal);
        Assert.Empty(await client.PendingIdsAsync(User));
        Assert.Equal("expired", StatusIn(await client.ReadAsync(id)));
    }

    private static async Task<DateTime> CreatedAtAsync(ApiClient client, string id) =>
        DateTime.Parse((await client.ReadAsync(id)).ShouldBe(200).Json.GetProperty("timestamp").GetString()!, CultureInfo.InvariantCulture);

    private static string? StatusIn(Answer answer) => answer.ShouldBe(200).Json.GetProperty("status").GetString();
}
