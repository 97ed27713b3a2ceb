using System.Globalization;
using System.Net;
using System.Net.Http.Json;
using Recognize.Orleans.FaultInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Processes;

public sealed class OutagesOnPostgreSql() : OutageTests(StorageEngine.PostgreSql)
{
    [SkippableFact]
    public async Task While_the_server_lets_nobody_in_nothing_is_denied_and_afterwards_nothing_is_missing()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var service = await ServiceProcess.StartAsync(database, "node-1");

        await AssertNothingIsLostAsync(service, () => Outage.AllowConnectionsAsync(database, allowed: false), () => Outage.AllowConnectionsAsync(database, allowed: true));
    }
}

public sealed class OutagesOnSqlServer() : OutageTests(StorageEngine.SqlServer);

public abstract class OutageTests
{
    private static readonly string[] Repeated = ["Requests are answered 503", "The database did not do what it was asked (said at most"];

    private readonly StorageEngine engine;

    private protected OutageTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task While_the_network_to_the_database_is_cut_nothing_is_denied_and_afterwards_nothing_is_missing()
    {
        await using var database = await TestDatabase.CreateAsync(engine);
        await using var network = new NetworkProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", network.ConnectionString));

        await AssertNothingIsLostAsync(service, () => Done(network.Cut), () => Done(network.GoOn));
    }

    [SkippableFact]
    public async Task While_the_network_to_the_database_is_silent_every_answer_is_503_and_afterwards_nothing_is_missing()
    {
        await using var database = await TestDatabase.CreateAsync(engine);
        await using var network = new NetworkProxy(database);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("ConnectionStrings:Recognize", network.ConnectionString));
        var id = Journey.NewId();
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", id));

        network.GoSilent();
        var statuses = await Task.WhenAll(service.CreateAsync("B2", Journey.NewId()), service.DecideAsync("A1", id), StatusAsync(service, Journey.NewId())).WaitAsync(ServiceProcess.Patience);
        network.GoOn();

        Assert.All(statuses, status => Assert.Equal(HttpStatusCode.ServiceUnavailable, status));
        Assert.Equal((HttpStatusCode.OK, true), (await StatusAsync(service, id), (await service.HistoryAsync("A1")).Contains(id)));
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", Journey.NewId()));
    }

    [SkippableFact]
    public async Task When_all_processes_were_killed_one_at_another_address_goes_on_where_they_ended()
    {
        await using var database = await TestDatabase.CreateAsync(engine);
        var id = Journey.NewId();
        await using (var killed = await ServiceProcess.StartAsync(database, "node-1"))
        {
            Assert.Equal(HttpStatusCode.OK, await killed.CreateAsync("A1", id));
            await killed.KillAsync();
        }

        await using var service = await ServiceProcess.StartAsync(database, "node-2");

        Assert.Equal((HttpStatusCode.OK, "pending"), ((await service.ReadAsync(id)).Status, (await service.ReadAsync(id)).Body.GetProperty("state").GetString()));
        Assert.Equal([id], await service.ListAsync("A1"));
        Assert.Equal([id], await service.HistoryAsync("A1"));
        Assert.Equal(HttpStatusCode.OK, await service.DecideAsync("A1", id));
    }

    private protected static async Task AssertNothingIsLostAsync(ServiceProcess service, Func<Task> outage, Func<Task> end)
    {
        var ids = Enumerable.Range(0, 20).Select(_ => Journey.NewId()).ToList();
        Assert.All(await Task.WhenAll(ids.Select(id => service.CreateAsync("A1", id))), status => Assert.Equal(HttpStatusCode.OK, status));
        var lost = Journey.NewId();

        await outage();
        await InOrder.RepeatAsync(3, () => AssertUnavailableAsync(service, lost, pending: ids[0]));

        // A server that lets nobody in has said so, or has ended the session before it could.
        await service.SeesAsync("Degraded: the database d");
        using (var ready = await service.Management.GetAsync("/health/ready"))
        {
            Assert.Equal(HttpStatusCode.OK, ready.StatusCode);
            Assert.Matches("^degraded: the database (does not answer|did not do what it was asked)", await ready.Content.ReadAsStringAsync());
        }

        await end();

        Assert.Equal(ids.Order(), (await service.ListAsync("A1")).Order());
        Assert.Equal(ids.Order(), (await service.HistoryAsync("A1")).Order());
        Assert.All(await Task.WhenAll(ids.Select(service.ReadAsync)), read => Assert.Equal((HttpStatusCode.OK, "pending"), (read.Status, read.Body.GetProperty("state").GetString())));
        Assert.Equal(HttpStatusCode.NotFound, (await service.ReadAsync(lost)).Status);
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", lost));
        Assert.Equal(HttpStatusCode.OK, await service.DecideAsync("A1", ids[0]));
        await service.SeesAsync("The database answers and takes writes again");
        await service.ReadyAsync();

        // The log tells of the outage once, not per request, and not each time that somebody asks for readiness. An outage that
        // lasts is told again, and a loaded machine makes each last.
        Assert.Single(service.Output, line => line.Contains("Degraded: ", StringComparison.Ordinal));
        Assert.All(Repeated, sentence => Assert.All(Pauses(service.Output, sentence), pause => Assert.InRange(pause, TimeSpan.FromSeconds(9.5), TimeSpan.MaxValue)));
        Assert.All(
            service.OwnLines.Where(line => !Repeated.Any(sentence => line.Contains(sentence, StringComparison.Ordinal))),
            line => Assert.Matches(" started as node |The silo listens on |Degraded: |The database answers and takes writes again", line));
    }

    // Between each line with this sentence and the next one.
    private static IEnumerable<TimeSpan> Pauses(IEnumerable<string> output, string sentence)
    {
        var times = output.Where(line => line.Contains(sentence, StringComparison.Ordinal)).Select(line => DateTimeOffset.Parse(line.Split(' ')[0], CultureInfo.InvariantCulture)).ToList();
        Assert.NotEmpty(times);
        return times.Zip(times.Skip(1), (time, next) => next - time);
    }

    private static async Task AssertUnavailableAsync(ServiceProcess service, string lost, string pending)
    {
        using var refused = await service.Api.PostAsJsonAsync("/v2/users/A1/operations", new { operationId = lost });
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
        Assert.Equal(TimeSpan.FromSeconds(1), refused.Headers.RetryAfter!.Delta);
        Assert.Equal("application/problem+json", refused.Content.Headers.ContentType!.MediaType);

        using var unknown = await service.Api.GetAsync($"/v2/operations/{Journey.NewId()}");
        Assert.Equal(HttpStatusCode.ServiceUnavailable, unknown.StatusCode);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await service.CreateAsync("B2", Journey.NewId()));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await service.DecideAsync("A1", pending));
    }

    private static async Task<HttpStatusCode> StatusAsync(ServiceProcess service, string id)
    {
        using var answer = await service.Api.GetAsync($"/v2/operations/{id}");
        return answer.StatusCode;
    }

    private static Task Done(Action act)
    {
        act();
        return Task.CompletedTask;
    }
}
