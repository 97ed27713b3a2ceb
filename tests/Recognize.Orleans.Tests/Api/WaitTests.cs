using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

// Clients that wait for a change instead of asking again and again. Each test has a service, and so a clock, of its own.
public sealed class WaitTests : IAsyncLifetime
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();
    private readonly WaitingClock clock = new();
    private TestService service = null!;

    private ApiClient Api => service.Acme;

    public async Task InitializeAsync() => service = await WaitingClock.StartServiceAsync(clock);

    public Task DisposeAsync() => service.DisposeAsync().AsTask();

    [Theory]
    [InlineData("approve", "approved")]
    [InlineData("deny", "denied")]
    public async Task A_parked_read_is_answered_by_the_decision(string decision, string status)
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        var waiting = Api.WaitAsync(id);
        await clock.ParkedAsync();

        (await Api.DecideAsync(id, user, decision)).ShouldBeSuccess();

        var answer = await Answered(waiting);
        Assert.Equal((status, "wait=60"), (Status(answer), answer["Preference-Applied"]));
    }

    [Fact]
    public async Task A_parked_read_is_answered_by_a_cancel()
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        var waiting = Api.WaitAsync(id);
        await clock.ParkedAsync();

        (await Api.CancelAsync(id, "{}")).ShouldBeSuccess();

        Assert.Equal("cancelled", Status(await Answered(waiting)));
    }

    [Fact]
    public async Task A_parked_read_is_answered_at_the_deadline_and_not_before()
    {
        (await Api.PostAsync($"/v2/users/{user}/operations", $$"""{"operationId":"{{id}}","expiresIn":5}""")).ShouldBeSuccess();
        var waiting = Api.WaitAsync(id);
        await clock.ParkedAsync();

        clock.Advance((5 * Second) - TimeSpan.FromMilliseconds(1));
        Assert.Equal("pending", Status(await Api.ReadAsync(id)));
        Assert.False(waiting.IsCompleted);
        clock.Advance(TimeSpan.FromMilliseconds(1));

        Assert.Equal("expired", Status(await Answered(waiting)));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(10)]
    public async Task A_parked_read_is_answered_pending_when_its_time_is_over_and_not_a_tick_before(int seconds)
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        var waiting = Api.WaitAsync(id, seconds);
        await clock.ParkedAsync();

        clock.Advance((seconds * Second) - TimeSpan.FromTicks(1));
        Assert.Equal("pending", Status(await Api.ReadAsync(id)));
        Assert.False(waiting.IsCompleted);
        clock.Advance(TimeSpan.FromTicks(1));

        var answer = await Answered(waiting);
        Assert.Equal(("pending", $"wait={seconds}"), (Status(answer), answer["Preference-Applied"]));
    }

    [Fact]
    public async Task A_read_that_is_parked_for_the_longest_time_is_answered_pending_then_and_not_a_tick_before()
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        var waiting = Api.WaitAsync(id, 60);
        await clock.ParkedAsync();

        // It looks around every ten seconds.
        await clock.SleepOnAsync(times: 5, 10 * Second, clients: 1);
        clock.Advance((10 * Second) - TimeSpan.FromTicks(1));
        Assert.Equal("pending", Status(await Api.ReadAsync(id)));
        Assert.False(waiting.IsCompleted);
        clock.Advance(TimeSpan.FromTicks(1));

        Assert.Equal("pending", Status(await Answered(waiting)));
    }

    [Fact]
    public async Task What_is_not_pending_or_does_not_exist_is_answered_at_once()
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        (await Api.DecideAsync(id, user)).ShouldBeSuccess();

        Assert.Equal("approved", Status(await Answered(Api.WaitAsync(id))));
        (await Answered(Api.WaitAsync(ApiClient.NewId()))).ShouldBe(OperationProblems.NotFound);
    }

    [Theory]
    [InlineData("wait=0")]
    [InlineData("wait=soon")]
    [InlineData("wait")]
    [InlineData("wait=-1")]
    [InlineData("wait=1.5")]
    [InlineData("respond-async")]
    public async Task A_preference_that_cannot_be_followed_is_ignored(string preference)
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();

        var answer = await Answered(Api.GetAsync($"/v2/operations/{id}", ("Prefer", preference)));

        Assert.Equal(("pending", null), (Status(answer), answer["Preference-Applied"]));
    }

    [Theory]
    [InlineData("wait=61", "wait=60")]
    [InlineData("WAIT = \"7\" ; foo=bar", "wait=7")]
    [InlineData("respond-async, wait=5, wait=9", "wait=5")]
    [InlineData("wait=18446744073709551615", "wait=60")]
    public async Task The_first_wait_counts_and_no_wait_is_longer_than_a_minute(string preference, string applied)
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        (await Api.DecideAsync(id, user)).ShouldBeSuccess();

        Assert.Equal(applied, (await Api.GetAsync($"/v2/operations/{id}", ("Prefer", preference)))["Preference-Applied"]);
    }

    [Fact]
    public async Task A_list_that_the_client_has_is_304_until_it_changes()
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        var first = (await Api.ListAsync(user)).ShouldBe(200);

        var same = await ListAsync(first["ETag"]!);
        Assert.Equal((304, "", first["ETag"]), (same.Status, same.Body, same["ETag"]));
        (await ListAsync("*")).ShouldBe(304);
        (await ListAsync($"\"other\", W/{first["ETag"]}")).ShouldBe(304);
        (await ListAsync("\"other\"")).ShouldBe(200);
        (await ListAsync("nonsense")).ShouldBe(200);

        (await Api.DecideAsync(id, user)).ShouldBeSuccess();
        Assert.Equal("[]", (await ListAsync(first["ETag"]!)).ShouldBe(200).Body);
    }

    [Fact]
    public async Task A_parked_list_is_answered_when_an_operation_comes_and_when_one_goes()
    {
        var empty = await Api.ListAsync(user);
        var waiting = ListAsync(empty["ETag"]!, wait: 60);
        await clock.ParkedAsync();
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        var one = (await Answered(waiting)).ShouldBe(200);
        Assert.Equal(id, one.Json[0].GetProperty("operationId").GetString());

        waiting = ListAsync(one["ETag"]!, wait: 60);
        await clock.ParkedAsync();
        (await Api.DecideAsync(id, user)).ShouldBeSuccess();

        var none = (await Answered(waiting)).ShouldBe(200);
        Assert.Equal(("[]", empty["ETag"], "wait=60"), (none.Body, none["ETag"], none["Preference-Applied"]));
    }

    [Fact]
    public async Task A_parked_list_is_304_when_its_time_is_over_and_another_list_when_an_operation_expires()
    {
        (await Api.PostAsync($"/v2/users/{user}/operations", $$"""{"operationId":"{{id}}","expiresIn":5}""")).ShouldBeSuccess();
        var tag = (await Api.ListAsync(user))["ETag"]!;
        var waiting = ListAsync(tag, wait: 2);
        await clock.ParkedAsync();
        clock.Advance(2 * Second);
        (await Answered(waiting)).ShouldBe(304);

        waiting = ListAsync(tag, wait: 60);
        await clock.ParkedAsync();
        clock.Advance(3 * Second);
        Assert.Equal("[]", (await Answered(waiting)).ShouldBe(200).Body);
    }

    [Fact]
    public async Task A_stream_begins_with_the_list_and_tells_every_change()
    {
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        using var stream = await Api.FollowAsync(user);
        Assert.Equal((200, "text/event-stream"), (stream.Status, stream.MediaType));
        Assert.Equal([id], (await stream.NextListAsync()).Operations);

        var second = ApiClient.NewId();
        (await Api.CreateAsync(user, second)).ShouldBeSuccess();
        Assert.Equal([id, second], (await stream.NextListAsync()).Operations);

        (await Api.DecideAsync(id, user)).ShouldBeSuccess();
        Assert.Equal([second], (await stream.NextListAsync()).Operations);
    }

    [Fact]
    public async Task A_stream_that_is_resumed_tells_what_was_missed_and_nothing_twice()
    {
        using var first = await Api.FollowAsync(user);
        var (seen, _) = await first.NextListAsync();
        first.Dispose();

        using (var unchanged = await Api.FollowAsync(user, seen))
        {
            Assert.Equal([":"], await unchanged.NextAsync());
        }

        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        using var resumed = await Api.FollowAsync(user, seen);
        Assert.Equal([id], (await resumed.NextListAsync()).Operations);
    }

    [Fact]
    public async Task A_stream_that_has_nothing_to_say_says_so_every_15_seconds_and_not_a_tick_before()
    {
        using var stream = await Api.FollowAsync(user);
        await stream.NextListAsync();
        await clock.ParkedAsync();

        await CommentIn15SecondsAsync();
        await clock.ParkedAsync();
        await CommentIn15SecondsAsync();

        async Task CommentIn15SecondsAsync()
        {
            var next = stream.NextAsync();
            clock.Advance(10 * Second);
            await clock.ParkedAsync();
            clock.Advance((5 * Second) - TimeSpan.FromTicks(1));

            // A call that came later and was answered shows that whatever was said is here.
            await Api.ListAsync(user);
            Assert.False(next.IsCompleted);
            clock.Advance(TimeSpan.FromTicks(1));
            Assert.Equal([":"], await next);
        }
    }

    [Fact]
    public async Task The_15_seconds_of_a_stream_count_from_what_it_said_last()
    {
        using var stream = await Api.FollowAsync(user);
        await stream.NextListAsync();
        await clock.ParkedAsync();
        clock.Advance(8 * Second);
        (await Api.CreateAsync(user, id)).ShouldBeSuccess();
        await stream.NextListAsync();
        await clock.ParkedAsync();
        clock.Advance(10 * Second);
        await clock.ParkedAsync();
        clock.Advance((5 * Second) - TimeSpan.FromTicks(1));

        // Anything said since would come before this.
        (await Api.DecideAsync(id, user)).ShouldBeSuccess();
        Assert.Empty((await stream.NextListAsync()).Operations);
        await clock.ParkedAsync();
        clock.Advance(10 * Second);
        await clock.ParkedAsync();
        clock.Advance(5 * Second);

        Assert.Equal([":"], await stream.NextAsync());
    }

    [Fact]
    public async Task A_stream_is_for_clients_that_accept_one()
    {
        (await Api.GetAsync($"/v2/users/{user}/operations/events", ("Accept", "application/json"))).ShouldBe(Problem.NotAcceptable, "text/event-stream");
        (await Api.GetAsync($"/v2/users/xyz/operations/events")).ShouldBe(Problem.InvalidRequest, "userId");
    }

    private Task<Answer> ListAsync(string known, int? wait = null) => Api.GetAsync(
        $"/v2/users/{user}/operations/pending",
        wait is null ? [("If-None-Match", known)] : [("If-None-Match", known), ("Prefer", $"wait={wait}")]);

    private static Task<Answer> Answered(Task<Answer> waiting) => waiting.WaitAsync(ClusterFixture.Patience);

    private static string? Status(Answer answer) => answer.ShouldBe(200).Json.GetProperty("status").GetString();
}
