using Recognize.Orleans.Deployment;
using Recognize.Orleans.FaultInjection;
using Recognize.Orleans.Processes;
using Xunit;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer("Recognize.Orleans.Processes." + nameof(ProcessesLast), "Recognize.Orleans.Tests")]

namespace Recognize.Orleans.Processes;

/// <summary>Processes of which a test asks how long something takes: nothing runs beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class MeasuredProcesses
{
    public const string Name = "measured processes";
}

/// <summary>
/// Begins with what takes all cores. Tests of real processes mostly wait and depend on real time: they come after it, the
/// longest first, so that no core is left with one of them alone.
/// </summary>
public sealed class ProcessesLast : ITestCollectionOrderer
{
    private static readonly string[] Folders = [".Processes.", ".FaultInjection.", ".Deployment.", ".Clients.", ".Documents."];

    private static readonly string[] Longest =
        [nameof(RandomSchedules), nameof(StopTests), nameof(ClockTests), nameof(BalancerTests), nameof(SqliteProcessTests), nameof(OutagesOnPostgreSql), nameof(ProcessesOnPostgreSql)];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) => testCollections
        .OrderBy(collection => Folders.Any(folder => collection.DisplayName.Contains(folder, StringComparison.Ordinal)))
        .ThenByDescending(collection => Longest.Any(name => IsOf(collection, name)))
        .ThenBy(collection => Array.FindIndex(Longest, name => IsOf(collection, name)));

    private static bool IsOf(ITestCollection collection, string name) => collection.DisplayName.EndsWith($".{name}", StringComparison.Ordinal);
}
