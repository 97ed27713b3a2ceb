
namespace Recognize.Orleans.Benchmarks;

/// <summary>How soon a started process answers, and what an operation that nobody asks for any more costs in memory.</summary>
internal sealed class StartAndMemory(Options options)
{
    private const int Connections = 64;

    // The age of a user's grain is two minutes, of an operation's one.
    private static readonly TimeSpan LongestAge = TimeSpan.FromMinutes(6);
    private static readonly TimeSpan WarmUp = TimeSpan.FromSeconds(5);

    private readonly Contestant service = Contestant.Published(options.Published ?? Launch.BuiltService());
    private readonly List<object> starts = [];
    private readonly List<object> memories = [];
    private readonly List<TargetResult> targets = [];

    public async Task RunAsync(CancellationToken cancellationToken)
    {
        foreach (var engine in options.Engines)
        {
            await MeasureStartAsync(engine, cancellationToken);
            await MeasureMemoryAsync(engine, cancellationToken);
        }

        TargetResult.WriteTable(Console.Out, targets);
        await Report.WriteJsonAsync(options, new { starts, memories, targets }, cancellationToken);
    }

    private async Task MeasureStartAsync(string engine, CancellationToken cancellationToken)
    {
        var seconds = new List<double>();
        for (var round = 0; round < options.Rounds; round++)
        {
            // A restart is measured, not an installation: the schema is there.
            await using var database = await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken);
            await Server.RunToEndAsync(service.Command(Launch.At(database)) with { Arguments = ["apply-schema"] }, cancellationToken);
            await using var server = await Server.StartAsync(service, database, cancellationToken);
            await LoadGenerator.AskAsync(server, Scenario.Unknown[0], cancellationToken);
            seconds.Add(server.Age.TotalSeconds);
        }

        seconds.Sort();
        var median = seconds[seconds.Count / 2];
        var kind = options.Published is null ? "built" : "published";
        starts.Add(new { engine, kind, seconds });
        targets.Add(Of(engine, $"seconds from process start to first answer, {kind}", connections: 1, new Bound(2.5, IsLeast: false), median));
        Console.WriteLine(FormattableString.Invariant($"{engine}, {kind}: first answer {median:F2} s ({seconds[0]:F2}–{seconds[^1]:F2}) after the start of the process\n"));
    }

    private async Task MeasureMemoryAsync(string engine, CancellationToken cancellationToken)
    {
        await using var server = await Server.StartAsync(service, engine, options, cancellationToken);
        await LoadGenerator.RunAsync([server], await Scenario.PrepareWarmAsync(server, options, cancellationToken), Connections, LoadGenerator.For(WarmUp), cancellationToken);
        var before = await Memory.OfAsync(server, cancellationToken);

        await Console.Error.WriteLineAsync($"{engine}: creating and reading {options.Operations} operations");
        foreach (var step in Scenario.CreateThenRead("idle"))
        {
            await LoadGenerator.RunAsync([server], [step], Connections, LoadGenerator.For(options.Operations), cancellationToken);
        }

        var alive = await Memory.OfAsync(server, cancellationToken);
        await Console.Error.WriteLineAsync($"{engine}: waiting until they are collected");
        var after = alive;
        var deadline = server.Age + LongestAge;
        while (after.Operations > options.Operations / 100 && server.Age < deadline)
        {
            await Task.Delay(TimeSpan.FromSeconds(10), cancellationToken);
            after = await Memory.OfAsync(server, cancellationToken);
        }

        Console.WriteLine($"| {engine} | activations of operations | of users | heap MB | resident MB | heap bytes per operation | resident bytes per operation |");
        Console.WriteLine("|---|--:|--:|--:|--:|--:|--:|");
        foreach (var (state, memory) in new[] { ("before", before), ("alive", alive), ("after the age", after) })
        {
            Console.WriteLine(FormattableString.Invariant($"| {state} | {memory.Operations:N0} | {memory.Users:N0} | {memory.Heap / 1e6:F0} | {memory.Resident / 1e6:F0} | {PerOperation(memory.Heap - before.Heap):F0} | {PerOperation(memory.Resident - before.Resident):F0} |"));
        }

        Console.WriteLine();
        memories.Add(new { engine, options.Operations, before, alive, after });
        targets.Add(Of(engine, "heap KB per operation, alive", Connections, new Bound(3, IsLeast: false), PerOperation(alive.Heap - before.Heap) / 1000));
        targets.Add(Of(engine, "heap KB per operation, after the age", Connections, new Bound(3, IsLeast: false), PerOperation(after.Heap - before.Heap) / 1000));
    }

    private double PerOperation(long bytes) => (double)bytes / options.Operations;

    private static TargetResult Of(string engine, string name, int connections, Bound bound, double measured) =>
        new(engine, name, connections, bound.ToString(), measured, bound.IsMetBy(measured));
}
