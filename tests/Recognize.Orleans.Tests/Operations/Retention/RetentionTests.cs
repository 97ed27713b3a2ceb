using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Time.Testing;
using Orleans.TestingHost;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations.Retention;

// What a client sees of operations that were removed for their age, and when a service removes them.
public sealed class RetentionTests
{
    private const int Swept = 50;

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [Fact]
    public async Task A_removed_operation_is_404_on_no_list_and_its_id_is_409()
    {
        var clock = new SweepingClock();
        await using var service = await StartAsync(clock);
        var api = service.Acme;
        await clock.SweptAsync();
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        (await api.DecideAsync(id, user)).ShouldBeSuccess();

        clock.Advance(TimeSpan.FromDays(30));
        await clock.SweptAsync();

        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
        (await api.DecideAsync(id, user)).ShouldBe(OperationProblems.NotFound);
        (await api.CreateAsync(user, id)).ShouldBe(OperationProblems.Exists);
        Assert.Equal("""{"operations":[]}""", (await api.GetAsync($"/v2/users/{user}/operations")).ShouldBe(200).Body);
        Assert.Equal("Retention: 1 operations and tombstones were old enough to be looked at.", Assert.Single(await service.Logs.WaitForAsync(Swept)).Message);
    }

    [Fact]
    public async Task A_service_sweeps_once_an_hour_and_not_before()
    {
        var clock = new SweepingClock();
        await using var service = await StartAsync(clock);
        var api = service.Acme;
        await api.CreateAsync(user, id);
        await api.DecideAsync(id, user);
        await clock.SweptAsync();
        clock.Advance(TimeSpan.FromDays(30) - TimeSpan.FromMinutes(1));
        await clock.SweptAsync();
        clock.Advance(RetentionSweeps.Interval - TimeSpan.FromTicks(1));
        (await api.ReadAsync(id)).ShouldBe(200);

        clock.Advance(TimeSpan.FromTicks(1));
        await clock.SweptAsync();

        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
    }

    [Fact]
    public async Task A_database_that_fails_stops_no_service_and_is_asked_again()
    {
        var clock = new SweepingClock();
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var service = await StartAsync(clock, database);
        await service.Acme.CreateAsync(user, id);
        await service.Acme.DecideAsync(id, user);
        await clock.SweptAsync();
        await database.ExecuteAsync("ALTER TABLE OrleansStorage RENAME TO Hidden");
        clock.Advance(TimeSpan.FromDays(30));
        await clock.SweptAsync();
        Assert.Contains("removals failed", Assert.Single(await service.Logs.WaitForAsync(51)).Message, StringComparison.Ordinal);
        await database.ExecuteAsync("ALTER TABLE Hidden RENAME TO OrleansStorage");

        clock.Advance(RetentionSweeps.Interval);
        await clock.SweptAsync();

        (await service.Acme.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
    }

    [Fact]
    public async Task Without_the_setting_nothing_sweeps()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite);

        Assert.Empty(service.Services.GetServices<IHostedService>().OfType<RetentionSweeps>());
    }

    private static async Task<TestService> StartAsync(SweepingClock clock, TestDatabase? database = null)
    {
        var settings = new Dictionary<string, string?> { ["Recognize:Operations:Retention"] = "30.00:00:00" };
        return database is null
            ? await TestService.StartAsync(StorageEngine.Sqlite, settings, Configure)
            : await TestService.StartAsync(database, settings, Configure);

        void Configure(Microsoft.AspNetCore.Builder.WebApplicationBuilder builder)
        {
            builder.Services.AddSingleton<TimeProvider>(clock);
            builder.Services.UseTimeProviderForBackgroundAreas(TimeProvider.System);
        }
    }

    /// <summary>Tells when a sweep is over and the next one is waited for.</summary>
    private sealed class SweepingClock() : FakeTimeProvider(new DateTimeOffset(2025, 5, 21, 10, 30, 0, TimeSpan.Zero))
    {
        private readonly Channel<ITimer> waits = Channel.CreateUnbounded<ITimer>();

        /// <summary>Completes when one more sweep is over than this was asked before.</summary>
        public Task<ITimer> SweptAsync() => waits.Reader.ReadAsync().AsTask().WaitAsync(ClusterFixture.Patience);

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            var timer = base.CreateTimer(callback, state, dueTime, period);
            if (dueTime == RetentionSweeps.Interval)
            {
                waits.Writer.TryWrite(timer);
            }

            return timer;
        }
    }
}
