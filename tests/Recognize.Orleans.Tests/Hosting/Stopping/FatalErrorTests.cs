using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting.Internal;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Hosting.Stopping;

public sealed class FatalErrorTests : IDisposable
{
    private readonly ApplicationLifetime lifetime = new(NullLogger<ApplicationLifetime>.Instance);
    private readonly TaskCompletionSource stopping = new();
    private readonly LogLines logs = new();
    private readonly LoggerFactory loggers = new();
    private readonly ServiceStop stop;

    public FatalErrorTests()
    {
        lifetime.ApplicationStopping.Register(stopping.SetResult);
        loggers.AddProvider(logs);
        stop = new(Settings.Read(new SettingsReader(new ConfigurationBuilder().Build(), AppContext.BaseDirectory)), lifetime, [], loggers.CreateLogger<ServiceStop>());
    }

    public void Dispose() => loggers.Dispose();

    [Fact]
    public async Task A_silo_that_learns_that_it_is_dead_says_so_once_and_stops_as_an_operator_would_stop_it()
    {
        stop.OnFatalException(this, "I have been told I am dead, so this silo will stop!", null);
        stop.Close("The database refused a write of this silo.");

        await stopping.Task.WaitAsync(ClusterFixture.Patience);
        await stop.Hastened.WaitAsync(ClusterFixture.Patience);
        var line = Assert.Single(logs.All);
        Assert.Equal((LogLevel.Critical, 60, ServiceStop.Fenced), (line.Level, line.EventId, stop.ExitCode));
        Assert.StartsWith("The other silos have declared this one dead. This node", line.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Any_other_fault_that_orleans_cannot_go_on_with_is_told_with_its_cause()
    {
        stop.OnFatalException(this, "ProcessMembershipUpdates", new InvalidOperationException("broken"));

        await stopping.Task.WaitAsync(ClusterFixture.Patience);
        var line = Assert.Single(logs.All);
        Assert.Equal((LogLevel.Critical, 60, ServiceStop.Fenced), (line.Level, line.EventId, stop.ExitCode));
        Assert.Contains("FatalErrorTests (ProcessMembershipUpdates)", line.Message, StringComparison.Ordinal);
    }
}
