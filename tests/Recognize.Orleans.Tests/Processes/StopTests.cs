using System.Diagnostics;
using System.Net;
using Recognize.Orleans.FaultInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.Stopping;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.Processes;

/// <summary>A stop ends in the time that was promised, says how, and loses nothing that was answered.</summary>
public sealed class StopTests(ITestOutputHelper output)
{
    // With no drain delay, which the processes of tests have not.
    private static readonly TimeSpan Promised = TimeSpan.FromSeconds(30);

    // Two of them are asking whether the database is really away.
    private static readonly TimeSpan WithoutDatabase = TimeSpan.FromSeconds(8);

    private static readonly TimeSpan Hastened = TimeSpan.FromSeconds(5);

    // The last two are what Orleans says of a machine that is too slow for it.
    private static readonly string[] Expected = [" info: ", "The silo listens on 127.0.0.1", "stalled for", "local health is degraded"];

    private static readonly string[] ThreeNodes = ["node-1", "node-2", "node-3"];

    [SkippableFact]
    public Task A_stop_while_the_database_refuses_connections_is_soon_over() => StopWithoutDatabaseAsync((proxy, _) => proxy.DisposeAsync().AsTask());

    [SkippableFact]
    public Task A_stop_while_the_database_is_silent_is_soon_over() => StopWithoutDatabaseAsync((proxy, _) =>
    {
        proxy.GoSilent();
        return Task.CompletedTask;
    });

    [SkippableFact]
    public Task A_stop_while_the_database_takes_no_sessions_is_soon_over() => StopWithoutDatabaseAsync((_, database) => Outage.AllowConnectionsAsync(database, allowed: false));

    [SkippableFact]
    public async Task A_stop_with_a_write_that_hangs_ends_in_time_and_acknowledges_nothing_more()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var proxy = new DatabaseProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString));
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", "txn-1"));
        var write = proxy.HoldNext("txn-2");
        var lost = service.CreateAsync("A1", "txn-2");
        await write.Caught;

        proxy.GoSilent();
        var time = Stopwatch.StartNew();
        await service.TerminateAsync();
        var exit = await service.ExitAsync();
        output.WriteLine($"ended after {time.Elapsed.TotalSeconds:F1} s");

        Assert.Equal(0, exit);
        Assert.True(time.Elapsed < Promised, $"It took {time.Elapsed}.");
        Assert.EndsWith("Stopped.", service.Output[^1], StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await lost);
        await Outage.GiveSilosUpAsync(database);
        await using var next = await ServiceProcess.StartAsync(database, "node-2");
        Assert.Contains("txn-1", await next.ListAsync("A1"));
    }

    [SkippableTheory]
    [InlineData("TERM", "TERM")]
    [InlineData("INT", "TERM")]
    [InlineData("TERM", "INT")]
    public async Task A_second_signal_ends_the_drain_delay_and_the_stop_is_an_orderly_one(string first, string second)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("Recognize:Silo:DrainDelay", "00:02:00"));
        await service.SignalAsync(first);
        await service.SeesAsync("Stopping: not ready any more");
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", "txn-1"));

        var time = Stopwatch.StartNew();
        await service.SignalAsync(second);
        var exit = await service.ExitAsync();
        output.WriteLine($"ended after {time.Elapsed.TotalSeconds:F1} s");

        Assert.Equal(0, exit);
        Assert.True(time.Elapsed < Hastened, $"It took {time.Elapsed}.");
        Assert.Contains("Told to stop once more", service.Output[^2], StringComparison.Ordinal);
        Assert.EndsWith("Stopped.", service.Output[^1], StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task Every_answer_of_a_node_that_stops_is_the_last_of_its_connection()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("Recognize:Silo:DrainDelay", "00:02:00"));
        var api = new ApiClient(service.ApiUrl, ServiceProcess.Key);
        var (user, id) = (Journey.NewUser(), Journey.NewId());
        Assert.Null((await api.CreateAsync(user, id))["Connection"]);
        var parked = api.WaitAsync(id);

        await service.TerminateAsync();
        await service.SeesAsync("Stopping: not ready any more");

        Answer[] answers = [await api.ListAsync(user), await api.GetAsync("/v2/nowhere"), await api.CreateAsync(user, id), await api.PostAsync($"/v2/operations/{id}/decision", $$"""{"userId":"{{user}}","decision":"approve","authType":"pin"}"""), await parked];
        Assert.Equal([200, 404, 409, 200, 200], answers.Select(answer => answer.Status));
        Assert.All(answers, answer => Assert.Equal("close", answer["Connection"]));
        await service.TerminateAsync();
        Assert.Equal(0, await service.ExitAsync());
    }

    [SkippableFact]
    public async Task A_second_signal_gives_what_hangs_three_seconds()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var proxy = new DatabaseProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString), ("Recognize:Silo:DrainDelay", "00:02:00"));
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", "txn-1"));
        var write = proxy.HoldNext("txn-2");
        var lost = service.CreateAsync("A1", "txn-2");
        await write.Caught;
        proxy.GoSilent();
        await service.TerminateAsync();
        await service.SeesAsync("Stopping: not ready any more");

        var time = Stopwatch.StartNew();
        await service.TerminateAsync();
        var exit = await service.ExitAsync();
        output.WriteLine($"ended after {time.Elapsed.TotalSeconds:F1} s");

        Assert.Equal(ServiceStop.CutOff, exit);
        Assert.True(time.Elapsed < Hastened, $"It took {time.Elapsed}.");
        Assert.NotEqual(HttpStatusCode.OK, await AnsweredAsync(lost));
        Assert.Single(service.Output, line => line.Contains("The stop was cut off", StringComparison.Ordinal));
    }

    // A grain that leaves tells those who wait on it, and Orleans has forgotten the way to a front end whose silo stops: it says so
    // for each, as an error of ClientDirectory. Nobody is left to be told there, and the others look for themselves.
    [SkippableFact]
    public async Task The_planned_stop_of_one_silo_after_another_under_load_logs_no_error_and_no_warning_anywhere()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        var services = await ServiceProcess.StartAsync(database, ThreeNodes, ("Recognize:Silo:DrainDelay", "00:00:01"));
        await using var one = services[0];
        await using var two = services[1];
        await using var three = services[2];
        await InOrder.ForEachAsync(new[] { (one, two), (two, three), (three, three) }, async item =>
        {
            var (stopping, staying) = item;
            await StopUnderLoadAsync(stopping, staying);
        });

        var lines = services.SelectMany(service => service.Output).ToList();
        var wrong = lines.Where(line => !Expected.Any(part => line.Contains(part, StringComparison.Ordinal)));
        Assert.True(!wrong.Any(), string.Join('\n', wrong));
        Assert.Equal(["node-1", "node-1", "node-2"], lines.Where(line => line.EndsWith(" left.", StringComparison.Ordinal)).Select(line => line.Split("Silo ")[1].Split(' ')[0]).Order());
    }

    private static async Task StopUnderLoadAsync(ServiceProcess stopping, ServiceProcess staying)
    {
        var held = Enumerable.Range(0, 8).Select(number => (User: $"D{number:X4}", Id: Journey.NewId())).ToList();
        await InOrder.ForEachAsync(held, async item =>
        {
            var (user, id) = item;
            // Whoever is asked first holds the grains.
            Assert.Equal(HttpStatusCode.OK, await stopping.CreateAsync(user, id));
            Assert.Equal(HttpStatusCode.OK, (await stopping.ReadAsync(id)).Status);
        });

        var waits = held.SelectMany(operation => new[] { stopping, staying }, (operation, service) => new ApiClient(service.ApiUrl, ServiceProcess.Key).WaitAsync(operation.Id, 5)).ToList();
        using var end = new CancellationTokenSource();
        var progress = new Progress();
        var load = Load.Start(
            8,
            async (worker, count) =>
            {
                Assert.Equal(HttpStatusCode.OK, await staying.CreateAsync($"C{worker:X2}{count % 50:X2}", Journey.NewId()));
                progress.Step();
            },
            end.Token);
        await progress.AdvancesBy(200);
        if (stopping == staying)
        {
            await end.CancelAsync();
            await Task.WhenAll(load);
        }

        await stopping.TerminateAsync();
        Assert.Equal(0, await stopping.ExitAsync());
        await end.CancelAsync();
        await Task.WhenAll(load);
        Assert.All(await Task.WhenAll(waits), answer => answer.ShouldBe(200));
    }

    private async Task StopWithoutDatabaseAsync(Func<DatabaseProxy, TestDatabase, Task> takeAway)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        var ids = Enumerable.Range(0, 20).Select(_ => Journey.NewId()).ToList();
        await using (var proxy = new DatabaseProxy(database))
        {
            await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", proxy.ConnectionString));
            Assert.All(await Task.WhenAll(ids.Select(id => service.CreateAsync("A1", id))), status => Assert.Equal(HttpStatusCode.OK, status));

            await takeAway(proxy, database);
            var time = Stopwatch.StartNew();
            await service.TerminateAsync();
            var exit = await service.ExitAsync();
            output.WriteLine($"ended after {time.Elapsed.TotalSeconds:F1} s");

            Assert.Equal(0, exit);
            Assert.True(time.Elapsed < WithoutDatabase, $"It took {time.Elapsed}.");
            Assert.Contains("Stopped.", service.Output[^1], StringComparison.Ordinal);
        }

        await Outage.AllowConnectionsAsync(database, allowed: true);
        await Outage.GiveSilosUpAsync(database);
        await using var next = await ServiceProcess.StartAsync(database, "node-2");
        Assert.Equal(ids.Order(), (await next.ListAsync("A1")).Order());
    }

    // The process may end before it has answered.
    private static async Task<HttpStatusCode> AnsweredAsync(Task<HttpStatusCode> call)
    {
        try
        {
            return await call;
        }
        catch (Exception lost) when (lost is HttpRequestException or IOException)
        {
            return 0;
        }
    }
}
