using System.Collections.Concurrent;
using System.Diagnostics;
using System.Net;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.Processes;

public sealed class ProcessesOnPostgreSql(ITestOutputHelper output) : ClusterProcessTests(StorageEngine.PostgreSql, output);

public sealed class ProcessesOnSqlServer(ITestOutputHelper output) : ClusterProcessTests(StorageEngine.SqlServer, output);

// Several service processes on one database are one service.
public abstract class ClusterProcessTests
{
    private static readonly string[] ThreeNodes = ["node-1", "node-2", "node-3"];

    private readonly StorageEngine engine;
    private readonly ITestOutputHelper output;

    private protected ClusterProcessTests(StorageEngine engine, ITestOutputHelper output)
    {
        this.engine = engine;
        this.output = output;
    }

    [SkippableFact]
    public async Task Three_processes_are_one_service_and_outlive_the_kill_of_one_under_load()
    {
        await using var database = await TestDatabase.CreateAsync(engine, applySchema: false);
        var services = await ServiceProcess.StartAsync(database, ThreeNodes, ("Recognize:Storage:ApplySchema", "true"));
        await using var one = services[0];
        await using var two = services[1];
        await using var three = services[2];

        var acknowledged = await CreateEveryIdTwiceAsync(services);
        await AssertListedOnceAndReadableAsync(services, acknowledged);

        await KillUnderLoadAsync(three, [one, two], acknowledged);
        await AssertListedOnceAndReadableAsync([one, two], acknowledged);

        // However much was under way, a lost silo is one line, not one per request.
        Assert.All([one, two], survivor => Assert.InRange(survivor.OwnLines.Count, 3, 8));
    }

    [SkippableFact]
    public async Task Those_who_wait_on_two_processes_hear_of_what_happens_after_the_third_that_held_it_was_killed()
    {
        await using var database = await TestDatabase.CreateAsync(engine);
        var services = await ServiceProcess.StartAsync(database, ThreeNodes);
        await using var one = services[0];
        await using var two = services[1];
        await using var killed = services[2];
        var held = Enumerable.Range(0, 6).Select(number => (User: $"D{number:X4}", Id: Journey.NewId())).ToList();
        await killed.CreateAndHoldAsync(held);

        var tag = (await new ApiClient(killed.ApiUrl, ServiceProcess.Key).ListAsync(held[0].User))["ETag"];
        Assert.Equal(tag, (await new ApiClient(one.ApiUrl, ServiceProcess.Key).ListAsync(held[0].User))["ETag"]);
        var waits = held.SelectMany(operation => new[] { one, two }, (operation, service) => new ApiClient(service.ApiUrl, ServiceProcess.Key).WaitAsync(operation.Id)).ToList();
        var streams = await Task.WhenAll(held.Select((operation, number) => new ApiClient((number % 2 == 0 ? one : two).ApiUrl, ServiceProcess.Key).FollowAsync(operation.User)));
        await Assert.AllAsync(streams.Zip(held), async pair => Assert.Equal([pair.Second.Id], (await pair.First.NextListAsync()).Operations));

        await killed.KillAsync();
        await Assert.AllAsync(held, async operation => Assert.Equal(HttpStatusCode.OK, await two.DecideAsync(operation.User, operation.Id)));

        var answers = await Task.WhenAll(waits).WaitAsync(ServiceProcess.Patience);
        Assert.All(answers, answer => Assert.Equal("approved", answer.ShouldBe(200).Json.GetProperty("status").GetString()));
        Assert.All(await Task.WhenAll(streams.Select(stream => stream.NextListAsync())), list => Assert.Empty(list.Operations));
        Array.ForEach(streams, stream => stream.Dispose());
    }

    [SkippableFact]
    public async Task A_process_that_is_told_to_stop_serves_until_nobody_sends_and_no_request_fails()
    {
        await using var database = await TestDatabase.CreateAsync(engine);
        var services = await ServiceProcess.StartAsync(database, ["node-1", "node-2"], ("Recognize:Silo:DrainDelay", "00:00:02"));
        await using var stopping = services[0];
        await using var staying = services[1];
        var answers = new ConcurrentBag<(string Node, bool WasReady, HttpStatusCode Status)>();
        using var end = new CancellationTokenSource();
        var progress = new Progress();
        var ready = true;

        var clients = Load.Start(8, CreateAsync, end.Token);
        await progress.AdvancesBy(100);
        await stopping.TerminateAsync();
        await stopping.NotReadyAsync();

        // Whoever has not heard of it yet is served like before.
        Assert.Equal(HttpStatusCode.OK, await stopping.CreateAsync("A1", Journey.NewId()));
        Volatile.Write(ref ready, false);
        Assert.Equal(0, await stopping.ExitAsync());
        await progress.AdvancesBy(50);
        await end.CancelAsync();
        await Task.WhenAll(clients).WaitAsync(ServiceProcess.Patience);
        Assert.DoesNotContain(answers, answer => answer.Status is not HttpStatusCode.OK);
        Assert.Contains("Stopped.", stopping.Output[^1], StringComparison.Ordinal);
        output.WriteLine($"{answers.Count} creates, none failed");

        // As a load balancer that looks at readiness, and as one that has not looked yet.
        async Task CreateAsync(int number, int count)
        {
            var wasReady = Volatile.Read(ref ready);
            var service = wasReady && count % 2 == 0 ? stopping : staying;
            answers.Add((service.Name, wasReady, await service.CreateAsync($"{number:X4}{count / 100:X4}", Journey.NewId())));
            progress.Step();
        }
    }

    [SkippableFact]
    public async Task Several_processes_apply_the_schema_at_once_and_again()
    {
        await using var database = await TestDatabase.CreateAsync(engine, applySchema: false);

        var first = await ApplyAsync();
        var second = await ApplyAsync();

        Assert.All(first.Concat(second), run => Assert.Equal(0, run.ExitCode));
        Assert.Single(first, run => run.Output.EndsWith($"It has schema version {Schema.Version} now.", StringComparison.Ordinal));
        Assert.All(second, run => Assert.Equal($"The {engine} database had schema version {Schema.Version}.\nNothing had to run.", run.Output));
        await using var service = await ServiceProcess.StartAsync(database, "node-1");
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", "txn-1"));

        Task<(int ExitCode, string Output)[]> ApplyAsync() => Task.WhenAll(Enumerable.Range(0, 4).Select(_ => ServiceProcess.RunAsync(database, "apply-schema")));
    }

    [SkippableFact]
    public async Task The_log_tells_what_operators_need_and_nothing_of_requests_payloads_and_keys()
    {
        await using var database = await TestDatabase.CreateAsync(engine);
        await using var staying = await ServiceProcess.StartAsync(database, "node-1");
        await using var killed = await ServiceProcess.StartAsync(database, "node-2");
        await staying.SeesAsync("Silo node-2 ");
        var before = staying.OwnLines.Count;

        await Assert.AllAsync(Enumerable.Range(0, 40), async number =>
        {
            Assert.Equal(HttpStatusCode.OK, await staying.CreateAsync($"ABCDEF{number:X2}", $"marked-id-{number}", "marked-payload"));
            Assert.Equal(HttpStatusCode.Conflict, await killed.CreateAsync($"ABCDEF{number:X2}", $"marked-id-{number}", "marked-payload"));
            Assert.Equal(HttpStatusCode.BadRequest, await staying.CreateAsync("marked-user", "marked-id", "marked-payload"));
            Assert.Equal(HttpStatusCode.NotFound, (await staying.ReadAsync("marked-unknown")).Status);
            Assert.Equal(HttpStatusCode.OK, await killed.DecideAsync($"ABCDEF{number:X2}", $"marked-id-{number}"));
        });

        using var strange = new HttpRequestMessage(HttpMethod.Get, new Uri(staying.ApiUrl, "/v2/operations/marked-id-1"));
        strange.Headers.Add("X-Api-Key", "marked-wrong-key");
        using var client = new HttpClient();
        Assert.Equal(HttpStatusCode.Unauthorized, (await client.SendAsync(strange)).StatusCode);
        Assert.Equal(before, staying.OwnLines.Count);

        await killed.KillAsync();
        await staying.SeesAsync(" is gone.");
        Assert.Equal(HttpStatusCode.OK, await staying.CreateAsync("A1", Journey.NewId()));
        await staying.TerminateAsync();
        Assert.Equal(0, await staying.ExitAsync());

        var lines = staying.Output;
        Assert.All(["marked", ServiceProcess.Key, "ABCDEF"], secret => Assert.DoesNotContain(lines.Concat(killed.Output), line => line.Contains(secret, StringComparison.Ordinal)));
        Assert.Collection(
            staying.OwnLines,
            line => Assert.Contains("started as node node-1: API http://127.0.0.1:", line, StringComparison.Ordinal),
            line => Assert.Contains("The silo listens on 127.0.0.1", line, StringComparison.Ordinal),
            line => Assert.Matches("Silo node-2 \\(.*\\) joined\\.$", line),
            line => Assert.Matches("Silo node-2 \\(.*\\) is gone\\.$", line),
            line => Assert.Contains("Stopping: not ready any more", line, StringComparison.Ordinal),
            line => Assert.EndsWith("Stopped.", line, StringComparison.Ordinal));
    }

    // Every id to two processes at once, from many connections.
    private async Task<ConcurrentBag<(string User, string Id)>> CreateEveryIdTwiceAsync(ServiceProcess[] services)
    {
        const int Ids = 2_000;
        const int Users = 100;
        var acknowledged = new ConcurrentBag<(string User, string Id)>();
        var clock = Stopwatch.StartNew();
        await Parallel.ForEachAsync(Enumerable.Range(0, Ids), new ParallelOptions { MaxDegreeOfParallelism = 32 }, async (number, _) =>
        {
            var (user, id) = ($"{number % Users:X4}", Journey.NewId());
            var statuses = await Task.WhenAll(
                services[number % services.Length].CreateAsync(user, id),
                services[(number + 1) % services.Length].CreateAsync(user, id));

            Assert.Equal([HttpStatusCode.OK, HttpStatusCode.Conflict], statuses.Order());
            acknowledged.Add((user, id));
        });
        output.WriteLine($"{Ids} ids, each sent twice: {clock.Elapsed.TotalSeconds:F1} s");
        return acknowledged;
    }

    private async Task KillUnderLoadAsync(ServiceProcess killed, ServiceProcess[] others, ConcurrentBag<(string User, string Id)> acknowledged)
    {
        // Grains of many users and operations; a third of them lives on the process that dies.
        var known = Enumerable.Range(0, 60).Select(number => (User: $"B{number:X4}", Id: Journey.NewId())).ToList();
        await InOrder.ForEachAsync(known, async one =>
        {
            Assert.Equal(HttpStatusCode.OK, await killed.CreateAsync(one.User, one.Id));
            acknowledged.Add(one);
        });

        using var end = new CancellationTokenSource();
        var failures = new ConcurrentBag<HttpStatusCode>();
        var sent = new Progress();
        var load = Load.Start(8, CreateAsync, end.Token);
        await sent.AdvancesBy(200);
        await killed.KillAsync();
        var clock = Stopwatch.StartNew();
        var recovered = await Task.WhenAll(known.Select(async (one, number) =>
        {
            Assert.Equal(HttpStatusCode.OK, (await others[number % others.Length].ReadAsync(one.Id)).Status);
            return clock.Elapsed;
        }));
        await InOrder.ForEachAsync(others, service => Parallel.ForEachAsync(known, async (one, _) =>
        {
            var id = Journey.NewId();
            Assert.Equal(HttpStatusCode.OK, await service.CreateAsync(one.User, id));
            acknowledged.Add((one.User, id));
            Assert.Equal(HttpStatusCode.Conflict, await service.CreateAsync(one.User, one.Id));
        }));

        await sent.AdvancesBy(200);
        await end.CancelAsync();
        await Task.WhenAll(load).WaitAsync(ServiceProcess.Patience);

        output.WriteLine($"after kill -9: everything answers again within {recovered.Max().TotalSeconds:F2} s; {failures.Count} of {sent.Count} creates under load failed");
        Assert.Empty(failures);
        Assert.True(recovered.Max() < TimeSpan.FromSeconds(3), $"It took {recovered.Max()}.");

        async Task CreateAsync(int worker, int count)
        {
            var (user, id) = ($"C{worker:X2}{count % 50:X2}", Journey.NewId());
            var status = await others[count % others.Length].CreateAsync(user, id);
            sent.Step();
            if (status is HttpStatusCode.OK)
            {
                acknowledged.Add((user, id));
            }
            else
            {
                failures.Add(status);
            }
        }
    }

    private static async Task AssertListedOnceAndReadableAsync(ServiceProcess[] services, ConcurrentBag<(string User, string Id)> acknowledged)
    {
        var numbers = new ConcurrentBag<(string Id, long Number)>();
        var many = new ParallelOptions { MaxDegreeOfParallelism = 32 };
        await Parallel.ForEachAsync(services.SelectMany(service => acknowledged.Select(one => (service, one))), many, async (pair, _) =>
        {
            var (status, body) = await pair.service.ReadAsync(pair.one.Id);
            Assert.Equal((HttpStatusCode.OK, pair.one.User), (status, body.GetProperty("userId").GetString()));
            numbers.Add((pair.one.Id, body.GetProperty("id").GetInt64()));
        });
        Assert.Equal(acknowledged.Count, numbers.Distinct().Count());
        Assert.Equal(acknowledged.Count, numbers.Select(one => one.Number).Distinct().Count());

        var expected = acknowledged.GroupBy(one => one.User, one => one.Id).ToList();
        await Parallel.ForEachAsync(services.SelectMany(service => expected.Select(user => (service, user))), many, async (pair, _) =>
        {
            Assert.Equal(pair.user.Order(), (await pair.service.ListAsync(pair.user.Key)).Order());
            Assert.Equal(pair.user.Order(), (await pair.service.HistoryAsync(pair.user.Key)).Order());
        });
    }
}
