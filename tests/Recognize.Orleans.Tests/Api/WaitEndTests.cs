using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Api;

// What ends a wait beside a change, and how many there may be.
public sealed class WaitEndTests
{
    private static readonly string[] BothScopes = ["operations", "decisions"];

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();
    private readonly WaitingClock clock = new();

    [Fact]
    public async Task A_service_that_stops_answers_those_who_wait_and_ends_its_streams()
    {
        await using var service = await WaitingClock.StartServiceAsync(clock);
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        using var stream = await service.Acme.FollowAsync(user);
        await stream.NextListAsync();
        await clock.ParkedAsync();
        var waiting = service.Acme.WaitAsync(id);
        await clock.ParkedAsync();

        await service.StopAsync();

        Assert.Equal("pending", (await waiting).ShouldBe(200).Json.GetProperty("status").GetString());
        Assert.Empty(await stream.NextAsync());
    }

    // A stop ends the stream and closes the connection at the same moment. Whoever put it back into a pool would lose a request on it.
    [Fact]
    public async Task A_stream_is_the_last_answer_of_its_connection()
    {
        await using var service = await WaitingClock.StartServiceAsync(clock);

        using var stream = await service.Acme.FollowAsync(user);

        Assert.True(stream.IsLast);
        Assert.Null((await service.Acme.ListAsync(user)).ShouldBe(200)["Connection"]);
    }

    [Fact]
    public async Task A_list_that_is_sent_in_parts_is_the_last_answer_of_its_connection()
    {
        await using var service = await WaitingClock.StartServiceAsync(clock);
        await service.Acme.CreateInOrderAsync(user, Enumerable.Range(0, 5).Select(number => $"{id}-{number}"), new string('x', 16_384));

        Assert.Equal("close", (await service.Acme.ListAsync(user)).ShouldBe(200)["Connection"]);
        Assert.Equal("close", (await service.Acme.GetAsync($"/v2/users/{user}/operations")).ShouldBe(200)["Connection"]);
    }

    [Fact]
    public async Task There_are_no_more_waits_than_allowed_and_a_client_that_goes_away_makes_room()
    {
        await using var service = await WaitingClock.StartServiceAsync(clock, new() { ["Recognize:Waits:PerCustomer"] = "1" });
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        using var left = new Measurement(service, "recognize.waits", change => change < 0);
        using (var stream = await service.Acme.FollowAsync(user))
        {
            await stream.NextListAsync();

            var refused = await service.Acme.WaitAsync(id);
            refused.ShouldBe(Problem.TooManyWaits);
            Assert.Equal("1", refused["Retry-After"]);
            Assert.Equal(503, (await service.Acme.FollowAsync(user)).Status);
            (await service.Acme.ReadAsync(id)).ShouldBe(200);
            await clock.ParkedAsync();
        }

        await left.MadeAsync();
        var waiting = service.Acme.WaitAsync(id);
        await clock.ParkedAsync();
        (await service.Acme.DecideAsync(id, user)).ShouldBeSuccess();
        (await waiting.WaitAsync(ClusterFixture.Patience)).ShouldBe(200);
    }

    [Fact]
    public async Task A_client_that_goes_away_while_its_read_is_parked_makes_room()
    {
        await using var service = await WaitingClock.StartServiceAsync(clock, new() { ["Recognize:Waits:PerCustomer"] = "1" });
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        using var left = new Measurement(service, "recognize.waits", change => change < 0);

        await service.Acme.LeaveAsync(id, clock.ParkedAsync());

        await left.MadeAsync();
        var waiting = service.Acme.WaitAsync(id);
        await clock.ParkedAsync();
        (await service.Acme.WaitAsync(id)).ShouldBe(Problem.TooManyWaits);
        (await service.Acme.DecideAsync(id, user)).ShouldBeSuccess();
        (await waiting.WaitAsync(ClusterFixture.Patience)).ShouldBe(200);
    }

    [Fact]
    public async Task One_customer_can_never_take_every_place_of_a_process_which_has_a_limit_of_its_own()
    {
        await using var service = await WaitingClock.StartServiceAsync(clock, new()
        {
            ["Recognize:Waits:PerProcess"] = "3",
            ["Recognize:Customers:initech:SdkApiKey"] = "initech-sdk",
            ["Recognize:Customers:initech:Keys:0:Sha256"] = TestCustomers.Hash("initech-key"),
            ["Recognize:Customers:initech:Keys:0:Scopes:0"] = "decisions",
            ["Recognize:Customers:hooli:SdkApiKey"] = "hooli-sdk",
            ["Recognize:Customers:hooli:Keys:0:Sha256"] = TestCustomers.Hash("hooli-key"),
            ["Recognize:Customers:hooli:Keys:0:Scopes:0"] = "decisions",
        });
        using var first = await service.Acme.FollowAsync(user);
        Assert.Equal((200, 503), (first.Status, (await service.Acme.FollowAsync(user)).Status));
        using var second = await new ApiClient(service.Api, TestCustomers.GlobexBoth).FollowAsync(user);
        using var third = await new ApiClient(service.Api, "initech-key").FollowAsync(user);
        Assert.Equal((200, 200), (second.Status, third.Status));

        Assert.Equal(503, (await new ApiClient(service.Api, "hooli-key").FollowAsync(user)).Status);
    }

    [Fact]
    public async Task A_key_that_is_removed_ends_its_waits_and_streams_and_no_others()
    {
        var folder = Directory.CreateTempSubdirectory("recognize-waits-").FullName;
        var file = Path.Combine(folder, "customers.json");
        await File.WriteAllTextAsync(file, KeysOf("initech-old", "initech-new"));
        await using var service = await WaitingClock.StartServiceAsync(clock, configure: builder => builder.Configuration.AddJsonFile(file, optional: false, reloadOnChange: false));
        var (removed, kept) = (new ApiClient(service.Api, "initech-old"), new ApiClient(service.Api, "initech-new"));
        (await removed.CreateAsync(user, id)).ShouldBeSuccess();
        using var stream = await removed.FollowAsync(user);
        await stream.NextListAsync();
        await clock.ParkedAsync();
        var waiting = removed.WaitAsync(id);
        await clock.ParkedAsync();
        var stays = kept.WaitAsync(id);
        await clock.ParkedAsync();

        await File.WriteAllTextAsync(file, KeysOf("initech-new"));

        (await waiting.WaitAsync(ClusterFixture.Patience)).ShouldBe(Problem.InvalidKey);
        Assert.Empty(await stream.NextAsync());
        (await kept.DecideAsync(id, user)).ShouldBeSuccess();
        (await stays.WaitAsync(ClusterFixture.Patience)).ShouldBe(200);
        Directory.Delete(folder, recursive: true);
    }

    private static string KeysOf(params string[] keys) => JsonSerializer.Serialize(new
    {
        Recognize = new
        {
            Customers = new
            {
                Initech = new
                {
                    SdkApiKey = "initech-sdk",
                    Keys = keys.Select(key => new { Sha256 = TestCustomers.Hash(key), Scopes = BothScopes }),
                },
            },
        },
    });
}
