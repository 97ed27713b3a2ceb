using Microsoft.Extensions.Hosting.Internal;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Hosting.Stopping;

public sealed class FatalErrorTests : IDisposable
{
    private readonly ApplicationLifetime lifetime = new(NullLogger<ApplicationLifetime>.Instance);
    private readonly LogLines logs = new();
    private readonly LoggerFactory loggers = new();
    private readonly StopDeadline deadline;
    private readonly Fence fence;

    public FatalErrorTests()
    {
        loggers.AddProvider(logs);
        deadline = new(loggers.CreateLogger<StopDeadline>(), []);
        fence = new(lifetime, deadline, loggers.CreateLogger<Fence>());
    }

    public void Dispose()
    {
        deadline.Dispose();
        loggers.Dispose();
    }

    [Fact]
    public async Task A_silo_that_learns_that_it_is_dead_says_so_once_and_stops_as_an_operator_would_stop_it()
    {
        var stopping = new TaskCompletionSource();
        lifetime.ApplicationStopping.Register(stopping.SetResult);

        new FatalErrors(fence).OnFatalException(this, "I have been told I am dead, so this silo will stop!", null);
        fence.Close("The database refused a write of this silo.");

        await stopping.Task.WaitAsync(ClusterFixture.Patience);
        await fence.Closed.WaitAsync(ClusterFixture.Patience);
        var line = Assert.Single(logs.All);
        Assert.Equal((LogLevel.Critical, 60), (line.Level, line.EventId));
        Assert.StartsWith("The other silos have declared this one dead. This node", line.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Any_other_fault_that_orleans_cannot_go_on_with_is_told_with_its_cause()
    {
        var stopping = new TaskCompletionSource();
        lifetime.ApplicationStopping.Register(stopping.SetResult);

        new FatalErrors(fence).OnFatalException(this, "ProcessMembershipUpdates", new InvalidOperationException("broken"));

        await stopping.Task.WaitAsync(ClusterFixture.Patience);
        var line = Assert.Single(logs.All);
        Assert.Equal((LogLevel.Critical, 61), (line.Level, line.EventId));
        Assert.Contains("FatalErrorTests (ProcessMembershipUpdates)", line.Message, StringComparison.Ordinal);
    }
}
