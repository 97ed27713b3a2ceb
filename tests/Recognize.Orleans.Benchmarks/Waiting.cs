using System.Diagnostics;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What waiting costs: how soon a parked client hears of a decision, what it holds meanwhile, and what many deadlines at one instant do.</summary>
internal sealed class Waiting(Options options)
{
    private const int DecisionsPerSecond = 200;
    private const int Connections = 64;
    private const long FirstUser = 0xA1D4_0000_0000;

    // Parked and measured well inside the minute that a client may wait.
    private static readonly TimeSpan UntilParked = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan UntilDue = TimeSpan.FromSeconds(60);

    // All of them begin to wait at one instant, which is more than one customer may have in flight.
    private static readonly Contestant Roomy = Contestant.Shipped with
    {
        Command = launch => launch.Service(Launch.BuiltService(), ("Recognize__Calls__PerCustomer", "100000")),
    };

    private readonly List<object> latencies = [];
    private readonly List<object> memories = [];
    private readonly List<object> deadlines = [];
    private readonly List<TargetResult> targets = [];

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        foreach (var engine in options.Engines)
        {
            await MeasureLatencyAsync(engine, cancellationToken);
            await MeasureDeadlinesAsync(engine, cancellationToken);
        }

        await MeasureMemoryAsync(options.Engines[0], cancellationToken);
        TargetResult.WriteTable(Console.Out, targets);
        await Report.WriteJsonAsync(options, new { latencies, memories, deadlines, targets }, cancellationToken);
    }

    // Parked on one silo, decided on another where there can be two.
    private async Task MeasureLatencyAsync(string engine, CancellationToken cancellationToken)
    {
        await using var servers = new ServerGroup();
        var parked = await servers.AddAsync(Server.StartAsync(Roomy, engine, options, cancellationToken));
        var deciding = engine is Engine.Sqlite ? parked : await servers.AddAsync(Server.StartAsync(Contestant.Shipped, parked.Database, cancellationToken));
        var rounds = new List<(double P50, double P99)>();

        // The first one warms up.
        for (var round = 0; round <= options.Rounds; round++)
        {
            var prefix = $"parked-{round}";
            var count = (int)(DecisionsPerSecond * options.Round.TotalSeconds);
            await CreateAsync(deciding, prefix, count, cancellationToken);
            var clients = await ConnectAsync(parked, count, cancellationToken);
            var heard = clients.Select(async (client, number) =>
            {
                await client.SendAsync(Wait(prefix), number, cancellationToken);
                return Stopwatch.GetTimestamp();
            }).ToList();
            await Task.Delay(UntilParked, cancellationToken);
            var answered = await DecideSteadilyAsync(deciding, prefix, count, cancellationToken);
            var latency = new Histogram();
            foreach (var (at, decided) in (await Task.WhenAll(heard)).Zip(answered))
            {
                latency.Add(TimeSpan.FromTicks(Math.Max(0, Stopwatch.GetElapsedTime(decided, at).Ticks)));
            }

            clients.ForEach(client => client.Dispose());
            rounds.Add((latency.Percentile(50).TotalMilliseconds, latency.Percentile(99).TotalMilliseconds));
            await Console.Error.WriteLineAsync(FormattableString.Invariant($"{engine}, decision to answer, round {round}: p50 {rounds[^1].P50:F2} ms, p99 {rounds[^1].P99:F2} ms"));
        }

        rounds.RemoveAt(0);
        var (p50, p99) = (Median(rounds.Select(round => round.P50)), Median(rounds.Select(round => round.P99)));
        Console.WriteLine(FormattableString.Invariant($"{engine}, {DecisionsPerSecond} decisions/s, {servers.All.Count} silo(s): from the send of the decision to the answer of the parked read p50 {p50:F2} ms, p99 {p99:F2} ms\n"));
        latencies.Add(new { engine, silos = servers.All.Count, rounds = rounds.Select(round => new { round.P50, round.P99 }) });
        targets.Add(Target(engine, "ms from decision to parked answer, p99", new Bound(20, IsLeast: false), p99));
    }

    // At its moment each, whether the one before is answered or not.
    private static async Task<long[]> DecideSteadilyAsync(Server server, string prefix, int count, CancellationToken cancellationToken)
    {
        var clients = await ConnectAsync(server, Connections, cancellationToken);
        var free = System.Threading.Channels.Channel.CreateUnbounded<LoadGenerator.Client>();
        clients.ForEach(client => free.Writer.TryWrite(client));
        var sent = new long[count];
        var decisions = new List<Task>(count);
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(1000.0 / DecisionsPerSecond));
        for (var number = 0; number < count; number++)
        {
            await timer.WaitForNextTickAsync(cancellationToken);
            decisions.Add(DecideAsync(number));
        }

        await Task.WhenAll(decisions);
        clients.ForEach(client => client.Dispose());
        return sent;

        async Task DecideAsync(int number)
        {
            sent[number] = Stopwatch.GetTimestamp();
            var client = await free.Reader.ReadAsync(cancellationToken);
            await client.SendAsync(Approve(prefix), number, cancellationToken);
            free.Writer.TryWrite(client);
        }
    }

    private async Task MeasureMemoryAsync(string engine, CancellationToken cancellationToken)
    {
        const string Prefix = "held";
        await using var servers = new ServerGroup();
        var server = await servers.AddAsync(Server.StartAsync(Roomy, engine, options, cancellationToken));
        await CreateAsync(server, Prefix, options.Waiters, cancellationToken);
        var clients = await ConnectAsync(server, options.Waiters, cancellationToken);
        for (var number = 0; number < clients.Count; number++)
        {
            await clients[number].SendAsync(Get(Prefix), number, cancellationToken);
        }

        var (idle, idleThreads) = (await Memory.OfAsync(server, cancellationToken), server.Threads());
        var waits = clients.Select((client, number) => client.SendAsync(Wait(Prefix), number, cancellationToken).AsTask()).ToList();
        await Task.Delay(UntilParked, cancellationToken);
        var (parked, threads) = (await Memory.OfAsync(server, cancellationToken), server.Threads());
        var still = waits.Count(wait => !wait.IsCompleted);
        await LoadGenerator.RunAsync([server], [Count(Approve(Prefix))], Connections, LoadGenerator.For(options.Waiters), cancellationToken);
        await Task.WhenAll(waits);
        clients.ForEach(client => client.Dispose());

        var (heap, resident) = ((double)(parked.Heap - idle.Heap) / options.Waiters, (double)(parked.Resident - idle.Resident) / options.Waiters);
        Console.WriteLine(FormattableString.Invariant($"{engine}, {still:N0} parked on one process: {heap:F0} bytes of heap and {resident:F0} resident each above an idle connection; {idleThreads} threads before, {threads} while parked\n"));
        memories.Add(new { engine, options.Waiters, still, idle, parked, idleThreads, threads });
        targets.Add(Target(engine, "heap KB per parked client", new Bound(8, IsLeast: false), heap / 1000));
    }

    private async Task MeasureDeadlinesAsync(string engine, CancellationToken cancellationToken)
    {
        const string Prefix = "due";
        await using var servers = new ServerGroup();
        var server = await servers.AddAsync(Server.StartAsync(Contestant.Shipped, engine, options, cancellationToken));
        var due = Stopwatch.GetTimestamp() + (long)(UntilDue.TotalSeconds * Stopwatch.Frequency);
        await Console.Error.WriteLineAsync($"{engine}: creating {options.Operations} operations that are due at once");
        await LoadGenerator.RunAsync([server], [Count(CreateDue(Prefix, due))], Connections, LoadGenerator.For(options.Operations), cancellationToken);
        var load = Scenario.Creates("meanwhile", 0xA1D6_0000_0000);
        var (before, across) = (new List<double>(), new List<double>());
        var round = options.Round + options.Round;
        while (Left() > round)
        {
            before.Add(await P99Async(options.Round));
        }

        while (Left() > TimeSpan.Zero - round)
        {
            across.Add(await P99Async(options.Round));
        }

        for (var number = 0; number < 1_000; number++)
        {
            var body = await LoadGenerator.AskAsync(server, Fixed(Get(Prefix), number * (options.Operations / 1_000)), cancellationToken);
            if (!body.Contains("\"status\":\"expired\"", StringComparison.Ordinal))
            {
                throw server.Failure($"shows what is due as {body}");
            }
        }

        var ratio = Median(across) / Median(before);
        Console.WriteLine(FormattableString.Invariant($"{engine}, {options.Operations:N0} operations due within a second: p99 of creates {Median(before):F2} ms before and {Median(across):F2} ms across that instant; 1,000 reads of them all say expired\n"));
        deadlines.Add(new { engine, options.Operations, before, across });
        targets.Add(Target(engine, "p99 of creates while all are due / before", new Bound(1.2, IsLeast: false), ratio));

        TimeSpan Left() => TimeSpan.FromSeconds((double)(due - Stopwatch.GetTimestamp()) / Stopwatch.Frequency);

        async Task<double> P99Async(TimeSpan duration) =>
            (await LoadGenerator.RunAsync([server], load, Connections, LoadGenerator.For(duration), cancellationToken)).Latency.Percentile(99).TotalMilliseconds;
    }

    private static async Task<List<LoadGenerator.Client>> ConnectAsync(Server server, int count, CancellationToken cancellationToken)
    {
        var clients = new List<LoadGenerator.Client>(count);
        while (clients.Count < count)
        {
            clients.Add(await LoadGenerator.Client.ConnectAsync(server, cancellationToken));
        }

        return clients;
    }

    private static Task<Load> CreateAsync(Server server, string prefix, int count, CancellationToken cancellationToken) => LoadGenerator.RunAsync(
        [server],
        [Count(new(200, (buffer, headers, number) => Requests.Create(buffer, headers, User(number), $"{prefix}-{number}")))],
        Connections,
        LoadGenerator.For(count),
        cancellationToken);

    private static Step Get(string prefix) => new(200, (buffer, headers, number) => Requests.Get(buffer, headers, $"{prefix}-{number}"));

    private static Step Wait(string prefix) => new(200, (buffer, headers, number) => Requests.Get(buffer, $"{headers}Prefer: wait=60\r\n", $"{prefix}-{number}"));

    private static Step Approve(string prefix) => new(200, (buffer, headers, number) => Requests.Approve(buffer, headers, User(number), $"{prefix}-{number}"));

    private static Step CreateDue(string prefix, long due) => new(200, (buffer, headers, number) =>
    {
        var seconds = (int)Math.Round((double)(due - Stopwatch.GetTimestamp()) / Stopwatch.Frequency);
        return Requests.CreateDue(buffer, headers, User(number), $"{prefix}-{number}", seconds);
    });

    private static string User(long number) => Requests.User(FirstUser, number);

    /// <summary>The same step for 0, 1, 2 and so on, whatever was sent before.</summary>
    private static Step Count(Step step)
    {
        var next = -1L;
        return step with { Write = (buffer, headers, _) => step.Write(buffer, headers, Interlocked.Increment(ref next)) };
    }

    private static Step Fixed(Step step, long number) => step with { Write = (buffer, headers, _) => step.Write(buffer, headers, number) };

    private static double Median(IEnumerable<double> values) => values.Order().ToList() is var sorted ? sorted[sorted.Count / 2] : 0;

    private static TargetResult Target(string engine, string name, Bound bound, double measured) =>
        new(engine, name, Connections, bound.ToString(), measured, bound.IsMetBy(measured));
}
