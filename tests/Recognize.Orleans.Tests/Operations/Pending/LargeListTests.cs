using System.Net.Sockets;
using System.Text;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations.Pending;

public sealed class LargeListsOnSqlite() : LargeListTests(StorageEngine.Sqlite);

public sealed class LargeListsOnPostgreSql() : LargeListTests(StorageEngine.PostgreSql);

public sealed class LargeListsOnSqlServer() : LargeListTests(StorageEngine.SqlServer);

// What a list may hold, and what it costs to send.
public abstract class LargeListTests : IAsyncLifetime
{
    private const int LeastBytes = 102_400;

    // Six bytes each.
    private static readonly string Longest = new('\0', OperationLimits.Payload);

    // What fits beside it with the id "one-byte-more".
    private static readonly string Rest = new('x', LeastBytes - """[{"operationId":"longest","operationPayload":""},{"operationId":"one-byte-more","operationPayload":""}]""".Length - (6 * OperationLimits.Payload) - 1);

    private readonly StorageEngine engine;
    private readonly string user = ApiClient.NewUser();
    private TestDatabase? database;

    private protected LargeListTests(StorageEngine engine) => this.engine = engine;

    private TestDatabase Database
    {
        get
        {
            Skip.If(database is null, TestDatabase.WhyUnavailable(engine));
            return database!;
        }
    }

    public async Task InitializeAsync() => database = TestDatabase.WhyUnavailable(engine) is null ? await TestDatabase.CreateAsync(engine) : null;

    public async Task DisposeAsync() => await (database?.DisposeAsync() ?? ValueTask.CompletedTask);

    [SkippableFact]
    public async Task A_list_has_as_many_bytes_as_allowed_as_it_is_sent_and_a_decision_makes_room()
    {
        await using var service = await StartAsync(LeastBytes);
        var api = service.Acme;

        (await api.CreateAsync(user, "longest", Longest)).ShouldBeSuccess();
        (await api.CreateAsync(user, "one-byte-more", Rest + "xx")).ShouldBe(OperationProblems.PendingBytesReached, "as it is sent");
        (await api.CreateAsync(user, "longest", "x")).ShouldBe(OperationProblems.Exists);
        (await api.CreateAsync(ApiClient.NewUser(), "of-another", Longest)).ShouldBeSuccess();
        (await api.ReadAsync("one-byte-more")).ShouldBe(OperationProblems.NotFound);
        (await api.CreateAsync(user, "one-byte-more", Rest)).ShouldBeSuccess();
        Assert.Equal(LeastBytes - 1, Encoding.UTF8.GetByteCount((await api.ListAsync(user)).ShouldBe(200).Body));
        (await api.CreateAsync(user, "without")).ShouldBe(OperationProblems.PendingBytesReached);

        (await api.DecideAsync("longest", user)).ShouldBeSuccess();
        (await api.CreateAsync(user, "too-long-now", Longest)).ShouldBe(OperationProblems.PendingBytesReached);
        (await api.CreateAsync(user, "without")).ShouldBeSuccess();
        Assert.Equal(["one-byte-more", "without"], await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task A_list_that_has_too_many_bytes_already_is_read_whole_and_shrinks()
    {
        await using (var before = await StartAsync())
        {
            (await before.Acme.CreateAsync(user, "1", Longest)).ShouldBeSuccess();
            (await before.Acme.CreateAsync(user, "2", Longest)).ShouldBeSuccess();
        }

        await using var service = await StartAsync(LeastBytes);
        (await service.Acme.CreateAsync(user, "3", "x")).ShouldBe(OperationProblems.PendingBytesReached);
        Assert.All((await service.Acme.ListAsync(user)).ShouldBe(200).Json.EnumerateArray(), one => Assert.Equal(Longest, one.GetProperty("operationPayload").GetString()));

        (await service.Acme.DecideAsync("1", user)).ShouldBeSuccess();
        (await service.Acme.CreateAsync(user, "3", Longest)).ShouldBe(OperationProblems.PendingBytesReached);
        (await service.Acme.CancelAsync("2", "{}")).ShouldBeSuccess();
        (await service.Acme.CreateAsync(user, "3", "x")).ShouldBeSuccess();
        Assert.Equal(["3"], await service.Acme.PendingIdsAsync(user));
    }

    // A page of 25, then one of all that the limit allows.
    [SkippableTheory]
    [InlineData(24)]
    [InlineData(25)]
    [InlineData(26)]
    [InlineData(230)]
    public async Task A_list_of_any_length_is_read_whole_and_in_order(int length)
    {
        var ids = Enumerable.Range(0, length).Select(number => $"{number}").ToList();
        await using (var before = await StartAsync())
        {
            await before.Acme.CreateInOrderAsync(user, ids);
            Assert.Equal(ids, await before.Acme.PendingIdsAsync(user));
        }

        await using var service = await StartAsync();
        Assert.Equal(ids, await service.Acme.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task A_large_list_comes_back_to_the_character_and_with_the_tag_of_its_content()
    {
        await using var service = await StartAsync();
        var payloads = Enumerable.Range(0, 12).Select(number => string.Concat(Enumerable.Repeat($"{number}\u20AC\0\\\"", 16_384 / 6))).ToList();
        await InOrder.ForEachAsync(payloads.Index(), async one => (await service.Acme.CreateAsync(user, $"{one.Index}", one.Item)).ShouldBeSuccess());

        var list = (await service.Acme.ListAsync(user)).ShouldBe(200);

        Assert.Equal(payloads, list.Json.EnumerateArray().Select(one => one.GetProperty("operationPayload").GetString()));
        Assert.Equal($"\"{Conditions.TagOf(Encoding.UTF8.GetBytes(list.Body))}\"", list["ETag"]);
        (await service.Acme.GetAsync($"/v2/users/{user}/operations/pending", ("If-None-Match", list["ETag"]!))).ShouldBe(304);
        using var stream = await service.Acme.FollowAsync(user);
        Assert.Equal(12, (await stream.NextListAsync()).Operations.Count);
    }

    [SkippableFact]
    public async Task Those_who_read_a_list_at_the_same_time_share_one_rendering_and_its_bytes_go_when_it_is_sent()
    {
        await using var service = await StartAsync();
        (await service.Acme.CreateAsync(user, "1", Longest)).ShouldBeSuccess();
        (await service.Acme.CreateAsync(user, "2", Longest)).ShouldBeSuccess();
        var lists = service.Services.GetRequiredService<PendingLists>();
        using var first = lists.Join(new("acme", user));
        using var second = lists.Join(new("acme", user));

        var shared = await first.AskAsync();
        var body = shared.Body;
        Assert.Same(shared, await second.AskAsync());

        first.Release();
        Assert.Same(body, shared.Body);
        second.Release();
        Assert.Throws<InvalidOperationException>(() => shared.Body);

        Assert.Same(shared, await first.AskAsync());
        using var third = lists.Join(new("acme", user));
        var again = await third.AskAsync();
        Assert.NotSame(shared, again);
        Assert.Equal((shared.Tag, shared.Version), (again.Tag, again.Version));
        Assert.Equal(body, again.Body);
    }

    [SkippableFact]
    public async Task A_list_is_answered_by_a_question_that_began_after_the_client_asked()
    {
        await using var service = await StartAsync();
        using var reader = service.Services.GetRequiredService<PendingLists>().Join(new("acme", user));
        var early = await reader.AskAsync();

        (await service.Acme.CreateAsync(user, "1")).ShouldBeSuccess();

        Assert.NotEqual(early.Tag, (await reader.AskAsync()).Tag);
    }

    private Task<TestService> StartAsync(int? pendingBytes = null) =>
        TestService.StartAsync(Database, new() { ["Recognize:Operations:PendingBytes"] = $"{pendingBytes}" });
}

// Whoever does not read what was asked for keeps nothing for long.
public sealed class UnreadListTests : IAsyncLifetime
{
    private const int Length = 60;

    private readonly string user = ApiClient.NewUser();
    private readonly WaitingClock clock = new();
    private TestService? service;

    private TestService Service => service!;

    // The system would hold a whole list for a client that does not read. Accepted connections have the buffer of their listener.
    public async Task InitializeAsync()
    {
        service = await WaitingClock.StartServiceAsync(clock, configure: builder => builder.Services.PostConfigure<SocketTransportOptions>(options =>
        {
            var bind = options.CreateBoundListenSocket;
            options.CreateBoundListenSocket = endPoint =>
            {
                var listener = bind(endPoint);
                listener.SendBufferSize = 4_096;
                return listener;
            };
        }));
        await Task.WhenAll(Enumerable.Range(0, Length).Select(async number => (await Service.Acme.CreateAsync(user, $"{number}", new string('x', OperationLimits.Payload))).ShouldBeSuccess()));
    }

    public Task DisposeAsync() => Service.DisposeAsync().AsTask();

    [Theory]
    [InlineData("pending")]
    [InlineData("events")]
    public async Task A_client_that_reads_nothing_is_cut_off(string what)
    {
        using var cut = new Measurement(Service, "recognize.cut_offs", _ => true);
        using var client = await AskAsync(what);

        await clock.CutOffAsync(cut.MadeAsync());

        Assert.Equal(SocketError.ConnectionReset, (await Assert.ThrowsAsync<SocketException>(() => RawHttp.ReadToEndAsync(client))).SocketErrorCode);
    }

    // In all it takes longer than the service waits for a client that takes nothing.
    [Theory]
    [InlineData("pending")]
    [InlineData("events")]
    public async Task A_client_that_reads_slowly_but_steadily_gets_everything(string what)
    {
        using var client = await AskAsync(what);

        await RawHttp.ReadInPartsAsync(client, (long)Length * OperationLimits.Payload, longestPart: 20_000, count =>
            clock.Advance(TimeSpan.FromSeconds(count / (Sending.LeastBytesPerSecond * 1.1))));
    }

    private async Task<Socket> AskAsync(string what)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4_096 };
        await socket.ConnectAsync("127.0.0.1", Service.Api.Port);
        await socket.SendAsync(RawHttp.Request("GET", $"/v2/users/{user}/operations/{what}", [("Host", Service.Api.Authority), ("X-Api-Key", TestCustomers.AcmeBoth)]));
        return socket;
    }
}
