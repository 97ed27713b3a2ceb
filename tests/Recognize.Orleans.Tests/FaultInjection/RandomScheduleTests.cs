using System.Globalization;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.FaultInjection;

/// <summary>Each schedule takes a core or more: they run one after another.</summary>
[CollectionDefinition(Name)]
public sealed class RandomSchedules
{
    public const string Name = $"{nameof(Recognize)}.{nameof(Orleans)}.{nameof(FaultInjection)}.{nameof(RandomSchedules)}";
}

[Collection(RandomSchedules.Name)]
public sealed class RandomSchedulesOnPostgreSql(ITestOutputHelper output) : RandomScheduleTests(StorageEngine.PostgreSql, output)
{
    public static TheoryData<int> Seeds => SeedsOf(3);

    [SkippableTheory]
    [MemberData(nameof(Seeds))]
    public Task Whatever_happens_between_them_no_two_answers_contradict_each_other(int seed) => RunAsync(seed);
}

[Collection(RandomSchedules.Name)]
public sealed class RandomSchedulesBehindABalancer(ITestOutputHelper output) : RandomScheduleTests(StorageEngine.PostgreSql, output)
{
    public static TheoryData<int> Seeds => SeedsOf(2);

    [SkippableTheory]
    [MemberData(nameof(Seeds))]
    public Task Wherever_requests_are_sent_no_two_answers_contradict_each_other(int seed) => RunAsync(seed, new FickleBalancer(FaultyCluster.Silos, seed));
}

[Collection(RandomSchedules.Name)]
public sealed class RandomSchedulesOnSqlite(ITestOutputHelper output) : RandomScheduleTests(StorageEngine.Sqlite, output)
{
    public static TheoryData<int> Seeds => SeedsOf(1);

    [SkippableTheory]
    [MemberData(nameof(Seeds))]
    public Task Whatever_happens_between_them_no_two_answers_contradict_each_other(int seed) => RunAsync(seed);
}

/// <summary>Random calls under random faults; a checker then looks for answers that contradict each other.</summary>
/// <remarks>
/// RECOGNIZE_TEST_SEEDS says how many seeds are run, RECOGNIZE_TEST_SCHEDULE_SECONDS how long each is disturbed, RECOGNIZE_TEST_SEED runs
/// one seed alone. What a seed fixes is what clients and faults do, not how they meet: a fault may need the seed several times. Twenty seeds in twelve minutes:
/// <c>RECOGNIZE_TEST_SEEDS=20 dotnet test --filter FullyQualifiedName~RandomSchedulesOnPostgreSql</c>
/// </remarks>
public abstract class RandomScheduleTests
{
    private const int DefaultSeconds = 15;
    private const int LinesAtMost = 500;

    private readonly StorageEngine engine;
    private readonly ITestOutputHelper output;

    private protected RandomScheduleTests(StorageEngine engine, ITestOutputHelper output) => (this.engine, this.output) = (engine, output);

    private protected async Task RunAsync(int seed, FickleBalancer? balancer = null)
    {
        output.WriteLine($"RECOGNIZE_TEST_SEED={seed}");
        await using var database = await TestDatabase.CreateAsync(engine);
        RandomClients? clients = null;
        await using var cluster = await FaultyCluster.StartAsync(database, seed, () => clients!.Now);
        using var asking = clients = new RandomClients([.. cluster.Services.Select(service => (service.Name, service.ApiUrl))], balancer, seed);
        using var end = new CancellationTokenSource(TimeSpan.FromSeconds(Number("RECOGNIZE_TEST_SCHEDULE_SECONDS") ?? DefaultSeconds));

        await Task.WhenAll(clients.RunAsync(end.Token), cluster.DisturbAsync(end.Token));
        await cluster.HealAsync();
        await clients.AskForEverythingAsync(database);

        var faults = AnswerChecker.ContradictionsIn(clients.Answers, deadlinesHold: engine is not StorageEngine.Sqlite);
        Report(clients, cluster, faults);
        Assert.True(faults.Count == 0, $"RECOGNIZE_TEST_SEED={seed}: {faults.Count} faults, the first of them:\n{string.Join('\n', faults.Take(10))}");
        Assert.Contains(clients.Answers, answer => answer is { Call: Call.Approve, Status: 200 });
    }

    protected static TheoryData<int> SeedsOf(int count) => Number("RECOGNIZE_TEST_SEED") is { } seed
        ? [seed]
        : new TheoryData<int>(Enumerable.Range(1, Number("RECOGNIZE_TEST_SEEDS") ?? count));

    private static int? Number(string variable) =>
        int.TryParse(Environment.GetEnvironmentVariable(variable), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : null;

    private void Report(RandomClients clients, FaultyCluster cluster, IReadOnlyList<string> faults)
    {
        var calls = clients.Answers.GroupBy(answer => answer.Call).OrderBy(call => call.Key)
            .Select(call => $"{call.Key}: {string.Join(", ", call.CountBy(answer => answer.Status).OrderBy(status => status.Key).Select(status => $"{status.Value} x {status.Key}"))}");
        var lines = calls.Concat(cluster.Disturbances).Concat(faults).Concat(faults.Count == 0 ? [] : cluster.Output.Take(LinesAtMost));
        output.WriteLine(string.Join('\n', lines));
    }
}
