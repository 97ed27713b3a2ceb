using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.Stopping;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Cluster;

/// <summary>What the service makes of the newest time that its database holds, and of its looks at it.</summary>
public sealed class DatabaseMonitorTests : IAsyncLifetime
{
    private TestDatabase database = null!;

    public async Task InitializeAsync() => database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);

    public async Task DisposeAsync() => await database.DisposeAsync();

    [Fact]
    public async Task A_node_whose_machine_was_set_back_goes_on_from_the_newest_time_and_is_not_ready()
    {
        var newest = TimeProvider.System.GetUtcNow().AddHours(2);
        await SetNewestAsync(newest);
        await using var service = await TestService.StartAsync(database);

        (await service.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();
        var created = (await service.Acme.ReadAsync("txn-1")).Json.GetProperty("timestamp").GetString()!;
        var ready = await RawHttp.ExchangeAsync(service.Management, RawHttp.Request("GET", "/health/ready", [("Host", service.Management.Authority)]));

        Assert.InRange(DateTimeOffset.Parse(created, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal), newest.AddMilliseconds(-2), newest.AddMinutes(10));
        Assert.Contains("clock", ready.ShouldBe(503).Body, StringComparison.Ordinal);
        Assert.False(Clock(service).MaySweep);
        Assert.Contains("not ready", Assert.Single(await service.Logs.WaitForAsync(63)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_start_long_after_the_newest_time_is_told_and_holds_the_sweeps()
    {
        await SetNewestAsync(TimeProvider.System.GetUtcNow().AddDays(-2));
        await using var service = await TestService.StartAsync(database);

        Assert.Contains("more than 1.00:00:00 after the newest time", Assert.Single(await service.Logs.WaitForAsync(64)).Message, StringComparison.Ordinal);
        Assert.False(Clock(service).MaySweep);
    }

    [Fact]
    public async Task The_service_and_what_orleans_times_go_by_one_clock()
    {
        await using var service = await TestService.StartAsync(database);

        Assert.Same(Clock(service), service.Services.GetRequiredService<TimeProvider>());
        Assert.Same(Clock(service), service.Services.GetRequiredKeyedService<TimeProvider>(TimeProviderNames.Membership));
        Assert.Same(Clock(service), service.Services.GetRequiredKeyedService<TimeProvider>(TimeProviderNames.ActivationManagement));
        Assert.True(Clock(service).MaySweep);
    }

    [Fact]
    public async Task A_silo_is_named_by_the_services_clock_so_that_it_is_newer_than_the_one_before()
    {
        var newest = TimeProvider.System.GetUtcNow().AddHours(2);
        await SetNewestAsync(newest);
        await using var service = await TestService.StartAsync(database);

        var started = new DateTimeOffset(2022, 1, 1, 0, 0, 0, TimeSpan.Zero).AddSeconds(service.Services.GetRequiredService<SiloIdentity>().Generation);
        Assert.InRange(started, newest.AddSeconds(-1), newest.AddMinutes(10));
    }

    [Fact]
    public async Task What_orleans_cannot_go_on_with_is_told_by_the_service_and_not_by_a_crash()
    {
        await using var service = await TestService.StartAsync(database);

        Assert.IsType<ServiceStop>(service.Services.GetRequiredService<IFatalErrorHandler>());
    }

    private static ServiceClock Clock(TestService service) => service.Services.GetRequiredService<ServiceClock>();

    private async Task SetNewestAsync(DateTimeOffset newest)
    {
        await using var opened = database.Open();
        await opened.ClaimAsync("recognize", "recognize", CancellationToken.None);
        await database.ExecuteAsync("UPDATE RecognizeCluster SET NewestTime = @Newest", ("@Newest", UtcMilliseconds.Text(newest)));
    }
}
