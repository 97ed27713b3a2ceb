using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.Deployment;

/// <summary>Three silos behind the load balancer that docker-compose.yml configures.</summary>
public sealed class BalancerTests(BalancedSilos silos, ITestOutputHelper output) : IClassFixture<BalancedSilos>
{
    private const int Streams = 200;

    private static readonly int JourneysPerSecond = int.Parse(Environment.GetEnvironmentVariable("RECOGNIZE_TEST_JOURNEYS") ?? "30", NumberStyles.None, CultureInfo.InvariantCulture);

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableFact]
    public async Task Whatever_is_asked_of_a_user_goes_to_one_silo_and_users_spread_over_all()
    {
        var used = new List<string>();
        await InOrder.ForEachAsync(Enumerable.Range(0, 40).Select(_ => ApiClient.NewUser()), async one =>
        {
            Answer[] answers =
            [
                await silos.Api.CreateAsync(one, ApiClient.NewId()),
                await silos.Api.CreateAsync(one, ApiClient.NewId()),
                await silos.Api.ListAsync(one),
                await silos.Api.GetAsync($"/v2/users/{one}/operations?limit=1"),
            ];

            used.Add(Assert.Single(answers.Select(answer => silos.SiloOf(answer.ShouldBe(200))).Distinct()));
        });

        Assert.Equal(["silo-1", "silo-2", "silo-3"], used.Distinct().Order());
    }

    [SkippableFact]
    public async Task Whatever_is_asked_of_an_operation_goes_to_one_silo_and_operations_spread_over_all()
    {
        var used = new List<string>();
        await InOrder.ForEachAsync(Enumerable.Range(0, 40).Select(_ => ApiClient.NewId()), async one =>
        {
            (await silos.Api.CreateAsync(user, one)).ShouldBeSuccess();
            Answer[] answers =
            [
                await silos.Api.ReadAsync(one),
                await silos.Api.GetAsync($"/v2/operations/{one}?a=b/c"),
                await silos.Api.DecideAsync(one, user),
                await silos.Api.ReadAsync(one),
            ];

            used.Add(Assert.Single(answers.Select(answer => silos.SiloOf(answer.ShouldBe(200))).Distinct()));
        });

        Assert.Equal(["silo-1", "silo-2", "silo-3"], used.Distinct().Order());
    }

    // Decoded, all of them begin with the same segment, and %2E%2E would leave none.
    [SkippableTheory]
    [InlineData("%2F")]
    [InlineData("%252F")]
    [InlineData("%2F%2E%2E%2F")]
    [InlineData("%3F")]
    [InlineData("%C3%A9%F0%9F%92%B8")]
    public async Task Ids_pass_to_the_character_and_choose_the_silo_as_they_are_encoded(string between)
    {
        var used = new List<string>();
        await InOrder.ForEachAsync(Enumerable.Range(0, 25), async number =>
        {
            var encoded = $"{id}{between}{number}";
            (await silos.Api.CreateAsync(user, Uri.UnescapeDataString(encoded))).ShouldBeSuccess();
            var first = await silos.Api.SendRawAsync("GET", $"/v2/operations/{encoded}");
            var absolute = await silos.Api.SendRawAsync("GET", $"http://api.example/v2/operations/{encoded}", null, ("Host", "api.example"));

            Assert.Equal(Uri.UnescapeDataString(encoded), first.ShouldBe(200).Json.GetProperty("operationId").GetString());
            Assert.Equal(first.Body, absolute.ShouldBe(200).Body);
            Assert.Equal(silos.SiloOf(first), silos.SiloOf(absolute));
            used.Add(silos.SiloOf(first));
        });

        Assert.Equal(["silo-1", "silo-2", "silo-3"], used.Distinct().Order());
    }

    [SkippableTheory]
    [InlineData("%2E")]
    [InlineData("%2E%2E")]
    [InlineData("..")]
    [InlineData("%C3")]
    public async Task What_is_no_id_is_the_services_to_refuse(string segment)
    {
        var answer = await silos.Api.SendRawAsync("GET", $"/v2/operations/{segment}");

        answer.ShouldBe(Problem.InvalidRequest, "operationId");
        Assert.StartsWith("silo-", silos.SiloOf(answer), StringComparison.Ordinal);
    }

    [SkippableTheory]
    [InlineData(131_073)]
    [InlineData(262_144)]
    public async Task A_body_that_is_a_little_too_large_is_the_services_to_refuse(int length)
    {
        var body = Encoding.UTF8.GetBytes($$"""{"operationId":"{{id}}"}""".PadRight(length));

        var answer = await silos.Api.CreateAsync(user, body);

        answer.ShouldBe(Problem.BodyTooLarge, "131072");
        Assert.StartsWith("silo-", silos.SiloOf(answer), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task The_largest_body_passes_with_and_without_its_length()
    {
        var body = Encoding.UTF8.GetBytes($$"""{"operationId":"{{id}}"}""".PadRight(131_072));
        (await silos.Api.CreateAsync(user, body)).ShouldBeSuccess();

        using var content = new ByteArrayContent(body);
        content.Headers.ContentType = new("application/json");
        var again = await silos.Api.SendAsync(HttpMethod.Post, $"/v2/users/{user}/operations", content, ("Transfer-Encoding", "chunked"));

        again.ShouldBe(OperationProblems.Exists);
    }

    [SkippableFact]
    public async Task A_parked_read_is_answered_when_its_operation_is_decided()
    {
        (await silos.Api.CreateAsync(user, id)).ShouldBeSuccess();
        var waiting = silos.Api.WaitAsync(id);

        (await silos.Api.DecideAsync(id, user)).ShouldBeSuccess();

        Assert.Equal("approved", (await waiting).ShouldBe(200).Json.GetProperty("status").GetString());
    }

    [SkippableFact]
    public async Task A_stream_tells_each_change_at_once()
    {
        using var stream = await silos.Api.FollowAsync(user);
        Assert.Empty((await stream.NextListAsync()).Operations);

        (await silos.Api.CreateAsync(user, id)).ShouldBeSuccess();

        Assert.Equal([id], (await stream.NextListAsync()).Operations);
    }

    [SkippableFact]
    public async Task The_users_of_a_killed_silo_are_answered_by_another()
    {
        await using var own = new Owned(await BalancedSilos.StartAsync());
        var cluster = own.Silos;
        var users = Enumerable.Range(0, 40).Select(_ => ApiClient.NewUser()).ToList();
        var before = new List<string>();
        await InOrder.ForEachAsync(users, async one =>
        {
            before.Add(cluster.SiloOf((await cluster.Api.CreateAsync(one, ApiClient.NewId())).ShouldBe(200)));
        });

        await cluster.Silos[1].KillAsync();

        await InOrder.ForEachAsync(users.Zip(before), async item =>
        {
            var (one, silo) = item;
            var after = await cluster.Api.CreateAsync(one, ApiClient.NewId());
            Assert.NotEqual("silo-2", cluster.SiloOf(after.ShouldBe(200)));
            Assert.True(silo is "silo-2" || silo == cluster.SiloOf(after), "A user of a silo that lives was sent elsewhere.");
            Assert.Equal(2, (await cluster.Api.ListAsync(one)).ShouldBe(200).Json.GetArrayLength());
        });

        Assert.Contains("silo-2", before);
    }

    [SkippableFact]
    public async Task Each_silo_in_turn_is_restarted_under_load_and_no_request_fails_and_nothing_that_was_answered_is_lost()
    {
        await using var own = new Owned(await BalancedSilos.StartAsync(drainDelay: "00:00:05"));
        var cluster = own.Silos;
        await using var followers = await Followers.StartAsync(cluster.Api, Streams);
        var failed = new ConcurrentBag<string>();
        var approved = new ConcurrentBag<string>();
        using var end = new CancellationTokenSource();
        var load = Load.Pace(
            JourneysPerSecond,
            async () =>
            {
                var (one, operation) = (ApiClient.NewUser(), ApiClient.NewId());
                Answer[] answers =
                [
                    await cluster.Api.CreateAsync(one, operation),
                    await cluster.Api.ReadAsync(operation),
                    await cluster.Api.DecideAsync(operation, one),
                ];
                string[] expected = ["\"success\":true", "\"state\":\"pending\"", "\"success\":true"];
                Array.ForEach(
                    [.. answers.Zip(expected).Where(one => one.First.Status is not 200 || !one.First.Body.Contains(one.Second, StringComparison.Ordinal))],
                    one => failed.Add($"{one.First.Status} of {one.First[Nginx.Asked]}: {one.First.Body}"));
                approved.Add(operation);
            },
            end.Token);

        await InOrder.ForEachAsync(followers.Users.Chunk((Streams / 3) + 1).Index(), restart => Task.WhenAll(cluster.RestartAsync(restart.Index), AskAsync(restart.Item)));
        await end.CancelAsync();
        await load;

        output.WriteLine($"{3 * approved.Count} requests, {followers.Connections} connections of {Streams} streams");
        Assert.Empty(failed);
        Assert.Empty(followers.Failed);
        await InOrder.ForEachAsync(approved.Chunk(50), async operations => Assert.All(
            await Task.WhenAll(operations.Select(cluster.Api.ReadAsync)),
            answer => Assert.Equal("approved", answer.ShouldBe(200).Json.GetProperty("state").GetString())));
        await AskAsync(followers.Users);
        Assert.True(followers.Connections > Streams, "No stream ended.");
        Assert.True(approved.Count > 10 * JourneysPerSecond, "There was no load.");

        Task AskAsync(IEnumerable<string> users) => InOrder.ForEachAsync(users, async one =>
        {
            var operation = ApiClient.NewId();
            var seen = followers.SeesAsync(one, operation);
            (await cluster.Api.CreateAsync(one, operation)).ShouldBeSuccess();
            await seen;
        });
    }

    // Nearly as long as a list can be, and many times what the balancer holds in memory.
    [SkippableFact]
    public async Task A_large_answer_that_is_read_slowly_waits_in_no_file()
    {
        const int count = 10;
        var payload = new string('\0', 16_384);
        await InOrder.ForEachAsync(Enumerable.Range(0, count), async number =>
        {
            (await silos.Api.CreateAsync(user, $"{id}-{number}", payload)).ShouldBeSuccess();
        });

        await using var balancer = await Nginx.StartAsync([.. silos.Silos.Select(silo => silo.ApiUrl)]);
        using var slow = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await slow.ConnectAsync(IPEndPoint.Parse(balancer.Url.Authority));
        await slow.SendAsync(RawHttp.Request("GET", $"/v2/users/{user}/operations/pending", [("Host", "api.example"), ("X-Api-Key", ServiceProcess.Key)]));
        var buffer = new byte[4096];
        var length = await slow.ReceiveAsync(buffer);
        var others = new ApiClient(balancer.Url, ServiceProcess.Key);
        await InOrder.ForEachAsync(Enumerable.Range(0, count), async number =>
        {
            (await others.ReadAsync($"{id}-{number}")).ShouldBe(200);
        });

        length += await RawHttp.ReadToEndAsync(slow);

        Assert.InRange(length, 6 * count * payload.Length, 6 * (count + 1) * payload.Length);
        Assert.DoesNotContain(await balancer.StopAsync(), line => line.Contains("temporary file", StringComparison.Ordinal));
    }

    private sealed class Owned(BalancedSilos silos) : IAsyncDisposable
    {
        public BalancedSilos Silos => silos;

        public async ValueTask DisposeAsync() => await silos.DisposeAsync();
    }
}
