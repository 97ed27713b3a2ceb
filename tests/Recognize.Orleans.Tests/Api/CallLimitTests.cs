using System.Diagnostics.Metrics;
using System.Threading.Channels;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Api;

// What one customer may ask of a process at once. Reads that the storage holds back are in flight for certain.
public sealed class CallLimitTests
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();
    private readonly WaitingClock clock = new();
    private readonly StorageTrouble storage = new();

    [Fact]
    public async Task A_call_over_the_limit_is_served_as_soon_as_an_earlier_one_is_answered()
    {
        await using var service = await StartAsync(limit: 1);
        using var calls = new Calls(service);
        using var first = new HeldRead(service, storage);
        await first.Reached;
        var second = service.Acme.ListAsync(user);
        await calls.QueuedAsync();

        first.Dispose();

        Assert.Equal("[]", (await Answered(second)).ShouldBe(200).Body);
        (await Answered(first.Answer)).ShouldBe(OperationProblems.NotFound);
        await calls.LeftAsync();
        Assert.Equal(0, calls.TooMany);
    }

    [Fact]
    public async Task A_call_that_finds_no_place_for_a_second_is_429_and_took_no_effect()
    {
        await using var service = await StartAsync(limit: 1);
        using var calls = new Calls(service);
        using (var first = new HeldRead(service, storage))
        {
            await first.Reached;
            var second = service.Acme.CreateAsync(user, id);
            await calls.QueuedAsync();
            clock.Advance(Second - TimeSpan.FromTicks(1));
            Assert.False(second.IsCompleted);
            clock.Advance(TimeSpan.FromTicks(1));

            ShouldBeTooMany(await Answered(second), "1 calls in flight");
            await calls.LeftAsync();
            Assert.Equal(1, calls.TooMany);
        }

        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
    }

    // A history page and a list: each is an answer of more than one part.
    [Theory]
    [InlineData("")]
    [InlineData("/pending")]
    public async Task A_large_answer_for_which_its_customer_has_no_room_is_429_and_neither_a_small_one_nor_another_customer_is_met(string what)
    {
        await using var service = await StartAsync(limit: 100);
        var other = new ApiClient(service.Api, TestCustomers.GlobexBoth);
        var large = $"/v2/users/{user}/operations{what}";
        var small = $"/v2/users/{ApiClient.NewUser()}/operations{what}";
        string[] ids = ["1", "2", "3", "4", "5"];
        await Assert.AllAsync(ids, async one => (await service.Acme.CreateAsync(user, one, new string('x', OperationLimits.Payload))).ShouldBeSuccess());
        await Assert.AllAsync(ids, async one => (await other.CreateAsync(user, one, new string('x', OperationLimits.Payload))).ShouldBeSuccess());
        using (await service.Services.GetRequiredService<UnreadBytes>().ReserveAsync("acme", UnreadBytes.MostOfCustomer))
        {
            await InOrder.RepeatAsync(2, clock.RoomAskedAsync);
            var refused = service.Acme.GetAsync(large);
            await clock.RoomAskedAsync();
            (await Answered(other.GetAsync(large))).ShouldBe(200);
            (await Answered(service.Acme.GetAsync(small))).ShouldBe(200);
            clock.Advance(UnreadBytes.LongestWait);

            var answer = await Answered(refused);
            answer.ShouldBe(Problem.TooManyCalls, "unread");
            Assert.Equal("1", answer["Retry-After"]);
        }

        (await Answered(service.Acme.GetAsync(large))).ShouldBe(200);
    }

    [Fact]
    public async Task As_many_calls_queue_as_may_be_in_flight_and_no_other_customer_is_met()
    {
        await using var service = await StartAsync(limit: 1);
        using var calls = new Calls(service);
        using var first = new HeldRead(service, storage);
        await first.Reached;
        var second = service.Acme.ReadAsync(id);
        await calls.QueuedAsync();

        ShouldBeTooMany(await Answered(service.Acme.ReadAsync(id)), "1 calls in flight");
        var other = new ApiClient(service.Api, TestCustomers.GlobexBoth);
        (await Answered(other.CreateAsync(user, id))).ShouldBeSuccess();
        (await Answered(other.ReadAsync(id))).ShouldBe(200);
        Assert.False(second.IsCompleted);

        first.Dispose();
        (await Answered(second)).ShouldBe(OperationProblems.NotFound);
        Assert.Equal(1, calls.TooMany);
    }

    [Fact]
    public async Task Whoever_queued_first_is_served_first()
    {
        await using var service = await StartAsync(limit: 2);
        using var calls = new Calls(service);
        using var first = new HeldRead(service, storage);
        await first.Reached;
        using var second = new HeldRead(service, storage);
        await second.Reached;
        using var third = new HeldRead(service, storage);
        await calls.QueuedAsync();
        using var fourth = new HeldRead(service, storage);
        await calls.QueuedAsync();

        first.Dispose();
        await third.Reached;
        Assert.False(fourth.Reached.IsCompleted);
        second.Dispose();
        await fourth.Reached;
    }

    [Fact]
    public async Task A_client_that_goes_away_while_its_call_queues_gives_its_place_back_and_is_not_counted()
    {
        await using var service = await StartAsync(limit: 1);
        using var calls = new Calls(service);
        using var first = new HeldRead(service, storage);
        await first.Reached;

        await service.Acme.LeaveAsync(id, calls.QueuedAsync());

        await calls.LeftAsync();
        var second = service.Acme.ReadAsync(id);
        await calls.QueuedAsync();
        Assert.Equal(0, calls.TooMany);
        first.Dispose();
        (await Answered(second)).ShouldBe(OperationProblems.NotFound);
        Assert.Equal(0, calls.TooMany);
    }

    [Theory]
    [InlineData("HEAD", "/v2/operations/txn-1")]
    [InlineData("GET", "/v2/operations/%ZZ")]
    [InlineData("GET", "/v2/users/xyz/operations/pending")]
    [InlineData("GET", "/v2/no/such/path")]
    [InlineData("BREW", "/v2/operations/txn-1")]
    [InlineData("POST", "/v2/users/A1/operations")]
    public async Task Whatever_comes_with_a_key_counts(string method, string target)
    {
        await using var service = await StartAsync(limit: 1);
        using var calls = new Calls(service);
        using var first = new HeldRead(service, storage);
        await first.Reached;
        var second = service.Acme.ReadAsync(id);
        await calls.QueuedAsync();

        Assert.Equal(429, (await Answered(service.Acme.SendRawAsync(method, target))).Status);
        Assert.Equal(429, (await Answered(new ApiClient(service.Api, TestCustomers.AcmeDecisions).SendRawAsync(method, target))).Status);
        (await Answered(new ApiClient(service.Api, "wrong").GetAsync(target))).ShouldBe(Problem.InvalidKey);
        (await Answered(new ApiClient(service.Api, key: null).GetAsync("/openapi/v2.json"))).ShouldBe(200);
        Assert.Equal(2, calls.TooMany);

        first.Dispose();
        await Answered(second);
    }

    [Fact]
    public async Task What_waits_or_listens_is_not_counted_and_gives_its_permit_back_once()
    {
        await using var service = await StartAsync(limit: 1);
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        var list = await service.Acme.ListAsync(user);
        var read = service.Acme.WaitAsync(id);
        await clock.ParkedAsync();
        var listed = service.Acme.GetAsync($"/v2/users/{user}/operations/pending", ("If-None-Match", list["ETag"]!), ("Prefer", "wait=60"));
        await clock.ParkedAsync();
        using var stream = await Answered(service.Acme.FollowAsync(user));
        await stream.NextListAsync();
        await clock.ParkedAsync();

        (await Answered(service.Acme.DecideAsync(id, user))).ShouldBeSuccess();
        (await Answered(read)).ShouldBe(200);
        (await Answered(listed)).ShouldBe(200);
        await stream.NextListAsync();

        using var calls = new Calls(service);
        using var first = new HeldRead(service, storage);
        await first.Reached;
        using var second = new HeldRead(service, storage);
        await calls.QueuedAsync();
        Assert.False(second.Reached.IsCompleted);
    }

    [Fact]
    public async Task A_client_that_finds_no_place_to_wait_is_in_flight_until_it_is_answered()
    {
        await using var service = await StartAsync(limit: 1, waits: 1);
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        using var stream = await Answered(service.Acme.FollowAsync(user));
        await stream.NextListAsync();

        (await Answered(service.Acme.WaitAsync(id))).ShouldBe(Problem.TooManyWaits);
        (await Answered(service.Acme.ReadAsync(id))).ShouldBe(200);
    }

    [Fact]
    public async Task Unless_it_is_set_up_otherwise_256_calls_of_a_customer_are_in_flight_and_as_many_queue()
    {
        await using var service = await StartAsync(limit: null);
        using var calls = new Calls(service);
        var inFlight = Enumerable.Range(0, 256).Select(_ => new HeldRead(service, storage)).ToList();
        await Task.WhenAll(inFlight.Select(read => read.Reached));
        var queued = Enumerable.Range(0, 256).Select(_ => service.Acme.ListAsync(user)).ToList();
        await Task.WhenAll(queued.Select(_ => calls.QueuedAsync()));

        ShouldBeTooMany(await Answered(service.Acme.ListAsync(user)), "256 calls in flight");

        inFlight.ForEach(read => read.Dispose());
        Assert.All(await Task.WhenAll(queued), answer => answer.ShouldBe(200));
        Assert.All(await Task.WhenAll(inFlight.Select(read => read.Answer)), answer => answer.ShouldBe(OperationProblems.NotFound));
        Assert.Equal(1, calls.TooMany);
    }

    [Fact]
    public async Task The_default_never_meets_a_customer_with_256_busy_connections()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite);
        using var calls = new Calls(service);

        await Parallel.ForEachAsync(
            Enumerable.Range(0, 256 * 20),
            new ParallelOptions { MaxDegreeOfParallelism = 256 },
            async (number, _) => (await service.Acme.CreateAsync($"A{number % 300:X4}", $"{id}-{number}")).ShouldBeSuccess());

        Assert.Equal(0, calls.TooMany);
    }

    [Fact]
    public async Task Calls_over_the_rate_are_429_at_once_and_no_other_customer_is_met()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new() { ["Recognize:Calls:PerSecond"] = "3" });
        using var calls = new Calls(service);

        var answers = await Task.WhenAll(Enumerable.Range(0, 60).Select(_ => service.Acme.ListAsync(user)));

        var refused = answers.Where(answer => answer.Status is not 200).ToList();
        Assert.InRange(answers.Length - refused.Count, 3, 59);
        Assert.All(refused, answer => ShouldBeTooMany(answer, "3 calls per second"));
        Assert.Equal(refused.Count, calls.TooMany);
        (await new ApiClient(service.Api, TestCustomers.GlobexBoth).ListAsync(user)).ShouldBe(200);
        await service.Acme.ServedAgainAsync(user).WaitAsync(ClusterFixture.Patience);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(15)]
    [InlineData(40)]
    public async Task A_burst_of_what_a_second_allows_is_served(int rate)
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new() { ["Recognize:Calls:PerSecond"] = $"{rate}" });

        Assert.All(await Task.WhenAll(Enumerable.Range(0, rate).Select(_ => service.Acme.ListAsync(user))), answer => answer.ShouldBe(200));
    }

    private static Task<T> Answered<T>(Task<T> answer) => answer.WaitAsync(ClusterFixture.Patience);

    private static void ShouldBeTooMany(Answer answer, string limit)
    {
        answer.ShouldBe(Problem.TooManyCalls, limit);
        Assert.Equal(("1", "no-store"), (answer["Retry-After"], answer["Cache-Control"]));
    }

    private Task<TestService> StartAsync(int? limit, int? waits = null) => WaitingClock.StartServiceAsync(
        clock,
        new() { ["Recognize:Calls:PerCustomer"] = $"{limit}", ["Recognize:Waits:PerCustomer"] = $"{waits}" },
        builder => builder.Host.ConfigureContainer<IServiceCollection>((_, services) => storage.Surround(services)));

    /// <summary>A read of acme's, of an operation that is not there, whose answer the storage holds back until this is disposed.</summary>
    private sealed class HeldRead : IDisposable
    {
        private readonly HeldCall held;

        public HeldRead(TestService service, StorageTrouble storage)
        {
            var operation = ApiClient.NewId();
            held = storage.HoldNextRead(service.Services.GetRequiredService<IGrainFactory>().GetOperation(new(Journey.Customer, operation)));
            (Reached, Answer) = (held.Reached, service.Acme.ReadAsync(operation));
        }

        public Task Reached { get; }

        public Task<Answer> Answer { get; }

        public void Dispose() => held.Dispose();
    }

    /// <summary>Tells of the calls of a service that enter and leave the queues of customers, and counts those that were too many.</summary>
    private sealed class Calls : IDisposable
    {
        private readonly Channel<long> queued = Channel.CreateUnbounded<long>();
        private readonly Channel<long> left = Channel.CreateUnbounded<long>();
        private readonly MeterListener listener = new();
        private int tooMany;

        public Calls(TestService service)
        {
            // Other services of this process count too; each has a factory of meters of its own.
            var meters = service.Services.GetRequiredService<IMeterFactory>();
            listener.InstrumentPublished = (instrument, owner) =>
            {
                if (instrument.Name is "recognize.calls.queued" or "recognize.refusals" && instrument.Meter.Scope == meters)
                {
                    owner.EnableMeasurementEvents(instrument);
                }
            };
            listener.SetMeasurementEventCallback<long>((instrument, change, tags, _) =>
            {
                if (instrument.Name is "recognize.calls.queued")
                {
                    (change > 0 ? queued : left).Writer.TryWrite(change);
                }
                else if (tags[0].Value is "too-many-calls")
                {
                    Interlocked.Increment(ref tooMany);
                }
            });
            listener.Start();
        }

        public int TooMany => Volatile.Read(ref tooMany);

        /// <summary>Completes when one more call has entered a queue than this was asked before.</summary>
        public Task<long> QueuedAsync() => queued.Reader.ReadAsync().AsTask().WaitAsync(ClusterFixture.Patience);

        /// <summary>Completes when one more call has left a queue than this was asked before.</summary>
        public Task<long> LeftAsync() => left.Reader.ReadAsync().AsTask().WaitAsync(ClusterFixture.Patience);

        public void Dispose() => listener.Dispose();
    }
}
