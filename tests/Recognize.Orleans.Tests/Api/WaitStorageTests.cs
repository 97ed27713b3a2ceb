using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Api;

public sealed class WaitsWithGroupCommit() : WaitStorageTests(groupCommit: true);

public sealed class WaitsWithStockStorage() : WaitStorageTests(groupCommit: false);

// Clients that wait, and the storage under the grains that they wait for.
public abstract class WaitStorageTests : IAsyncLifetime
{
    private readonly bool groupCommit;
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();
    private readonly WaitingClock clock = new();
    private readonly StorageTrouble storage = new();
    private TestService service = null!;

    private protected WaitStorageTests(bool groupCommit) => this.groupCommit = groupCommit;

    private ApiClient Api => service.Acme;

    private IOperationGrain Operation => service.Services.GetRequiredService<IGrainFactory>().GetOperation(new(Journey.Customer, id));

    public async Task InitializeAsync()
    {
        service = await WaitingClock.StartServiceAsync(
            clock,
            new() { ["Recognize:Storage:GroupCommit"] = $"{groupCommit}" },
            builder => builder.Host.ConfigureContainer<IServiceCollection>((_, services) => storage.Surround(services)));
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
    }

    public Task DisposeAsync() => service.DisposeAsync().AsTask();

    // A wait that is parked inside a grain call would hold up the end of the activation, and so the repeated decision.
    [Fact]
    public async Task Those_who_wait_hear_nothing_of_a_decision_that_was_not_written_and_of_the_repeated_one_at_once()
    {
        var waits = await ParkAsync();
        storage.FailNextWrite(Operation, FailedWrite.BeforeItsCommit);

        (await Api.DecideAsync(id, user)).ShouldBe(Problem.Unavailable);

        // They were told to ask again, found it pending and went back to sleep.
        await AllParkedAsync();
        Assert.All(waits, wait => Assert.False(wait.IsCompleted));
        (await Api.DecideAsync(id, user)).ShouldBeSuccess();
        await ShouldAllBeApprovedAsync(waits);
    }

    [Fact]
    public async Task Those_who_wait_hear_of_a_decision_that_was_written_though_whoever_sent_it_was_told_of_a_fault()
    {
        var waits = await ParkAsync();
        storage.FailNextWrite(Operation, FailedWrite.AfterItsCommit);

        (await Api.DecideAsync(id, user)).ShouldBe(Problem.Unavailable);

        await ShouldAllBeApprovedAsync(waits);
    }

    [Fact]
    public async Task A_wait_outlives_a_storage_that_does_not_answer()
    {
        var wait = Api.WaitAsync(id);
        await clock.ParkedAsync();
        using var read = storage.HoldNextRead(Operation);
        storage.FailNextWrite(Operation, FailedWrite.AfterItsCommit);
        (await Api.DecideAsync(id, user)).ShouldBe(Problem.Unavailable);
        await read.Reached;

        read.Fail();
        await clock.ParkedAsync();
        Assert.False(wait.IsCompleted);
        clock.Advance(TimeSpan.FromSeconds(1));

        await ShouldAllBeApprovedAsync([wait]);
    }

    [Fact]
    public async Task Those_who_wait_sleep_on_when_a_decision_is_refused_for_want_of_room()
    {
        var waits = await ParkAsync();
        storage.FailNextWrite(Operation, FailedWrite.NoRoom);

        (await Api.DecideAsync(id, user)).ShouldBe(Problem.Unavailable);

        Assert.Equal("pending", (await Api.ReadAsync(id)).ShouldBe(200).Json.GetProperty("status").GetString());
        Assert.All(waits, wait => Assert.False(wait.IsCompleted));
        (await Api.DecideAsync(id, user)).ShouldBeSuccess();
        await ShouldAllBeApprovedAsync(waits);
    }

    [Fact]
    public async Task A_wait_reads_its_row_once_in_ten_seconds_however_long_it_sleeps()
    {
        (await Api.ReadAsync(id)).ShouldBe(200);
        var tag = (await Api.ListAsync(user)).ShouldBe(200)["ETag"]!;
        var reads = storage.Reads;
        Assert.True(reads > 0);

        var operation = Api.WaitAsync(id);
        await clock.ParkedAsync();
        var list = Api.GetAsync($"/v2/users/{user}/operations/pending", ("If-None-Match", tag), ("Prefer", "wait=60"));
        await clock.ParkedAsync();

        // Between two pauses they ask, because a silo that they did not hear of may have gone; what the grains know is too old by then.
        await clock.SleepOnAsync(times: 5, TimeSpan.FromSeconds(10), clients: 2);
        clock.Advance(TimeSpan.FromSeconds(10));
        Assert.Equal("pending", (await Answered(operation)).ShouldBe(200).Json.GetProperty("status").GetString());
        (await Answered(list)).ShouldBe(304);
        Assert.Equal(reads + 12, storage.Reads);
    }

    private async Task<Task<Answer>[]> ParkAsync()
    {
        Task<Answer>[] waits = [Api.WaitAsync(id), Api.WaitAsync(id), Api.WaitAsync(id)];
        await AllParkedAsync();
        return waits;
    }

    private async Task AllParkedAsync()
    {
        await clock.ParkedAsync();
        await clock.ParkedAsync();
        await clock.ParkedAsync();
    }

    private static async Task ShouldAllBeApprovedAsync(Task<Answer>[] waits) => Assert.All(
        await Task.WhenAll(waits).WaitAsync(ClusterFixture.Patience),
        answer => Assert.Equal("approved", answer.ShouldBe(200).Json.GetProperty("status").GetString()));

    private static Task<Answer> Answered(Task<Answer> waiting) => waiting.WaitAsync(ClusterFixture.Patience);
}
