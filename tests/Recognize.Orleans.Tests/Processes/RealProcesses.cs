using Xunit;

namespace Recognize.Orleans.Processes;

/// <summary>Real processes measure real time: they run one test after another, with nothing beside them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class RealProcesses
{
    public const string Name = "processes";
}
