using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Hosting;

[Collection("SQLite")]
public sealed class ManagementTests(SqliteService fixture)
{
    private const string Password = "correct horse battery";

    [Theory]
    [InlineData("/health/live", "live")]
    [InlineData("/health/ready", "ready")]
    public async Task Health_is_told_on_the_management_port(string path, string text) =>
        Assert.Equal(text, (await Management(fixture.Service, path)).ShouldBe(200).Body);

    [Fact]
    public async Task The_dashboard_is_served_on_the_management_port()
    {
        (await Management(fixture.Service, "/dashboard/")).ShouldBe(200);
        (await Management(fixture.Service, "/dashboard/DashboardCounters")).ShouldBe(200);
    }

    [Theory]
    [InlineData("/health/live")]
    [InlineData("/health/ready")]
    [InlineData("/dashboard")]
    [InlineData("/dashboard/")]
    [InlineData("/dashboard/DashboardCounters")]
    public async Task The_api_port_serves_none_of_it_whatever_the_host_header_says(string path)
    {
        var service = fixture.Service;
        string[] hosts = [service.Api.Authority, service.Management.Authority, $"localhost:{service.Management.Port}"];

        await Assert.AllAsync(hosts, async host => (await service.Acme.SendRawAsync("GET", path, null, ("Host", host))).ShouldBe(Problem.RouteNotFound));
    }

    [Theory]
    [InlineData("/v2/operations/x")]
    [InlineData("/openapi/v2.json")]
    [InlineData("/docs/")]
    public async Task The_management_port_serves_nothing_of_the_api(string path) =>
        (await Management(fixture.Service, path, headers: ("X-Api-Key", TestCustomers.AcmeBoth))).ShouldBe(404);

    [Theory]
    [InlineData("localhost", 200)]
    [InlineData("LOCALHOST:8081", 200)]
    [InlineData("127.0.0.1", 200)]
    [InlineData("[::1]:8081", 200)]
    [InlineData("rebound.example", 421)]
    [InlineData("localhost.example", 421)]
    [InlineData("10.0.0.1", 421)]
    [InlineData("", 200)]
    public async Task On_loopback_the_host_must_be_loopback_too(string host, int status)
    {
        (await Management(fixture.Service, "/health/live", host)).ShouldBe(status);
        (await Management(fixture.Service, "/dashboard/", host)).ShouldBe(status);
    }

    // A browser always names a host; a probe of HTTP/1.0 does not.
    [Theory]
    [InlineData("/health/live")]
    [InlineData("/health/ready")]
    public async Task On_loopback_a_probe_that_names_no_host_is_answered(string path) =>
        (await RawHttp.ExchangeAsync(fixture.Service.Management, Encoding.ASCII.GetBytes($"GET {path} HTTP/1.0\r\n\r\n"))).ShouldBe(200);

    [Theory]
    [InlineData("/health/live", "live")]
    [InlineData("/health/ready", "ready")]
    [InlineData("/dashboard/", "<!DOCTYPE html>")]
    public async Task A_head_is_answered_like_a_get_without_the_body(string path, string start)
    {
        var got = (await Management(fixture.Service, path)).ShouldBe(200);
        var asked = await RawHttp.ExchangeAsync(fixture.Service.Management, RawHttp.Request("HEAD", path, [("Host", fixture.Service.Management.Authority)]));

        Assert.StartsWith(start, got.Body, StringComparison.OrdinalIgnoreCase);
        Assert.Equal((200, "", got["Content-Type"]), (asked.Status, asked.Body, asked["Content-Type"]));
    }

    [Fact]
    public async Task Reached_from_other_machines_without_a_password_there_is_no_dashboard()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new() { ["Recognize:Management:Urls"] = $"http://0.0.0.0:{FreePorts.Next()}" });

        (await Management(service, "/dashboard/")).ShouldBe(404);
        (await Management(service, "/dashboard/DashboardCounters")).ShouldBe(404);
        (await Management(service, "/health/ready", "node-1.example")).ShouldBe(200);
        Assert.Contains("Recognize:Management:Password", Assert.Single(await service.Logs.WaitForAsync(22)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task With_a_password_the_dashboard_demands_it()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new()
        {
            ["Recognize:Management:Urls"] = $"http://0.0.0.0:{FreePorts.Next()}",
            ["Recognize:Management:Password"] = Password,
        });

        string[] paths = ["/dashboard/", "/dashboard/index.html", "/dashboard/DashboardCounters", "/dashboard/ClusterStats"];
        await Assert.AllAsync(paths, async path =>
        {
            var refused = (await Management(service, path)).ShouldBe(401);
            Assert.StartsWith("Basic realm=", refused["WWW-Authenticate"], StringComparison.Ordinal);
            (await Management(service, path, headers: Basic($"operator:{Password}x"))).ShouldBe(401);
            (await Management(service, path, headers: Basic("operator:"))).ShouldBe(401);
            (await Management(service, path, headers: ("Authorization", $"Basic {Password}"))).ShouldBe(401);
            (await Management(service, path, headers: ("Authorization", $"Bearer {Password}"))).ShouldBe(401);
        });

        (await Management(service, "/dashboard/", headers: Basic($"operator:{Password}"))).ShouldBe(200);
        (await Management(service, "/dashboard/DashboardCounters", headers: Basic($":{Password}"))).ShouldBe(200);
        (await Management(service, "/health/ready")).ShouldBe(200);
    }

    [Fact]
    public async Task A_service_that_stops_is_not_ready_and_serves_until_the_traffic_has_drained_away()
    {
        var drain = TimeSpan.FromMinutes(3);
        var clock = new HeldClock(drain);
        await using var service = await TestService.StartAsync(
            StorageEngine.Sqlite,
            new() { ["Recognize:Silo:DrainDelay"] = $"{drain:c}" },
            builder => builder.Services.AddSingleton<TimeProvider>(clock));
        (await Management(service, "/health/ready")).ShouldBe(200);

        service.Services.GetRequiredService<IHostApplicationLifetime>().StopApplication();
        var stopped = service.StopAsync();
        await service.Logs.WaitForAsync(24);
        var ready = await Management(service, "/health/ready");
        var created = await service.Acme.CreateAsync(ApiClient.NewUser(), "txn-1");
        var wasStopped = stopped.IsCompleted;
        clock.Release();
        await stopped;

        Assert.Equal("stopping", ready.ShouldBe(503).Body);
        created.ShouldBeSuccess();
        Assert.False(wasStopped);
    }

    private static Task<Answer> Management(TestService service, string path, string? host = null, params (string, string)[] headers) =>
        RawHttp.ExchangeAsync(service.Management, RawHttp.Request("GET", path, [("Host", host ?? service.Management.Authority), .. headers]));

    private static (string, string) Basic(string credentials) => ("Authorization", $"Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes(credentials))}");

    /// <summary>The system's clock, but for one delay, which ends when the test says so.</summary>
    private sealed class HeldClock(TimeSpan held) : TimeProvider
    {
        private readonly TaskCompletionSource<Action> holding = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Release() => holding.Task.Result();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            if (dueTime != held)
            {
                return base.CreateTimer(callback, state, dueTime, period);
            }

            holding.SetResult(() => callback(state));
            return base.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }
}
