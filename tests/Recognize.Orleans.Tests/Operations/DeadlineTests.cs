using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Orleans.TestingHost;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations;

public sealed class DeadlinesWithGroupCommit() : DeadlineTests(groupCommit: true);

public sealed class DeadlinesWithStockStorage() : DeadlineTests(groupCommit: false);

// What a client is told on both sides of a deadline, and where a deadline comes from. The service has a clock of its own.
public abstract class DeadlineTests : IAsyncLifetime
{
    private const int Lifetime = 90;

    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);

    private readonly bool groupCommit;
    private readonly string user = ApiClient.NewUser();
    private readonly FakeTimeProvider clock = new(new DateTimeOffset(2025, 5, 21, 10, 30, 0, TimeSpan.Zero));
    private TestService service = null!;

    private protected DeadlineTests(bool groupCommit) => this.groupCommit = groupCommit;

    private ApiClient Api => service.Acme;

    public async Task InitializeAsync() => service = await TestService.StartAsync(
        StorageEngine.Sqlite,
        new() { ["Recognize:Storage:GroupCommit"] = $"{groupCommit}", ["Recognize:Operations:Lifetime"] = $"00:01:{Lifetime - 60}" },
        builder =>
        {
            builder.Services.AddSingleton<TimeProvider>(clock);
            builder.Services.UseTimeProviderForBackgroundAreas(TimeProvider.System);
        });

    public Task DisposeAsync() => service.DisposeAsync().AsTask();

    [Fact]
    public async Task A_tick_before_its_deadline_an_operation_is_decided_or_cancelled_and_from_then_on_neither()
    {
        await CreateAsync("decided", expiresIn: 5);
        await CreateAsync("cancelled", expiresIn: 5);
        await CreateAsync("late", expiresIn: 5);

        clock.Advance(TimeSpan.FromSeconds(5) - Tick);
        (await Api.DecideAsync("decided", user)).ShouldBeSuccess();
        (await Api.CancelAsync("cancelled", "{}")).ShouldBeSuccess();

        clock.Advance(Tick);
        await ShouldBeExpiredAsync("late");
        clock.Advance(TimeSpan.FromDays(1));
        await ShouldBeExpiredAsync("late");

        // What was said in time is repeated for ever.
        (await Api.DecideAsync("decided", user)).ShouldBeSuccess();
        (await Api.CancelAsync("cancelled", "{}")).ShouldBeSuccess();
    }

    [Fact]
    public async Task A_create_without_a_lifetime_has_that_of_the_service_and_one_with_a_lifetime_has_its_own()
    {
        await CreateAsync("default");
        await CreateAsync("shorter", expiresIn: Lifetime - 1);
        await CreateAsync("longer", expiresIn: Lifetime + 1);

        Assert.Equal("2025-05-21T10:31:30.000", await DeadlineOf("default"));
        Assert.Equal("2025-05-21T10:31:29.000", await DeadlineOf("shorter"));
        Assert.Equal("2025-05-21T10:31:31.000", await DeadlineOf("longer"));

        clock.Advance(TimeSpan.FromSeconds(Lifetime) - Tick);
        Assert.Equal(["default", "longer"], await Api.PendingIdsAsync(user));
        clock.Advance(Tick);
        Assert.Equal(["longer"], await Api.PendingIdsAsync(user));
        await ShouldBeExpiredAsync("default");
    }

    private async Task ShouldBeExpiredAsync(string id)
    {
        (await Api.DecideAsync(id, user)).ShouldBe(OperationProblems.Expired, "expiresAt");
        (await Api.DecideAsync(id, user, "deny")).ShouldBe(OperationProblems.Expired, "expiresAt");
        (await Api.CancelAsync(id, "{}")).ShouldBe(OperationProblems.Expired, "expiresAt");
        Assert.Equal("expired", (await Api.ReadAsync(id)).ShouldBe(200).Json.GetProperty("status").GetString());
    }

    private async Task CreateAsync(string id, int? expiresIn = null) => (await Api.CreateAsync(user, Encoding.UTF8.GetBytes(
        expiresIn is null ? $$"""{"operationId":"{{id}}"}""" : $$"""{"operationId":"{{id}}","expiresIn":{{expiresIn}}}"""))).ShouldBeSuccess();

    private async Task<string?> DeadlineOf(string id) => (await Api.ReadAsync(id)).ShouldBe(200).Json.GetProperty("expiresAt").GetString();
}
