using Recognize.Orleans.Processes;
using Xunit;
using Xunit.Abstractions;

[assembly: TestCollectionOrderer("Recognize.Orleans.Processes." + nameof(ProcessesLast), "Recognize.Orleans.Tests")]

namespace Recognize.Orleans.Processes;

/// <summary>Real processes run one test after another. Most of them wait, so that random faults are tried beside them.</summary>
[CollectionDefinition(Name)]
public sealed class RealProcesses
{
    public const string Name = "processes";
}

/// <summary>Processes whose clocks, networks and lives are disturbed, one test after another.</summary>
[CollectionDefinition(Name)]
public sealed class DisturbedProcesses
{
    public const string Name = "disturbed processes";
}

/// <summary>Processes of which a test asks how long something takes: nothing runs beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class MeasuredProcesses
{
    public const string Name = "measured processes";
}

/// <summary>Processes measure real time, so that what takes both cores comes before them.</summary>
public sealed class ProcessesLast : ITestCollectionOrderer
{
    private static readonly string[] Last = [RealProcesses.Name, DisturbedProcesses.Name];

    public IEnumerable<ITestCollection> OrderTestCollections(IEnumerable<ITestCollection> testCollections) =>
        testCollections.OrderBy(collection => Array.IndexOf(Last, collection.DisplayName));
}
