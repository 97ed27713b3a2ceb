using System.Net;
using System.Net.Http.Json;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Processes;

[Collection(RealProcesses.Name)]
public sealed class OutageTests
{
    [SkippableFact]
    public async Task While_the_database_is_away_nothing_is_denied_and_afterwards_nothing_is_missing()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var service = await ServiceProcess.StartAsync(database, "node-1");
        var ids = Enumerable.Range(0, 20).Select(_ => Journey.NewId()).ToList();
        Assert.All(await Task.WhenAll(ids.Select(id => service.CreateAsync("A1", id))), status => Assert.Equal(HttpStatusCode.OK, status));
        var lost = Journey.NewId();

        await Outage.AllowConnectionsAsync(database, allowed: false);
        foreach (var _ in Enumerable.Range(0, 3))
        {
            using var refused = await service.Api.PostAsJsonAsync("/v2/users/A1/operations", new { operationId = lost });
            Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.StatusCode);
            Assert.Equal(TimeSpan.FromSeconds(1), refused.Headers.RetryAfter!.Delta);
            Assert.Equal("application/problem+json", refused.Content.Headers.ContentType!.MediaType);

            using var unknown = await service.Api.GetAsync($"/v2/operations/{Journey.NewId()}");
            Assert.Equal(HttpStatusCode.ServiceUnavailable, unknown.StatusCode);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, await service.CreateAsync("B2", Journey.NewId()));
            Assert.Equal(HttpStatusCode.ServiceUnavailable, await service.DecideAsync("A1", ids[0]));
        }

        using (var ready = await service.Management.GetAsync("/health/ready"))
        {
            Assert.Equal((HttpStatusCode.ServiceUnavailable, "the database does not answer"), (ready.StatusCode, await ready.Content.ReadAsStringAsync()));
        }

        await Outage.AllowConnectionsAsync(database, allowed: true);

        Assert.Equal(ids.Order(), (await service.ListAsync("A1")).Order());
        Assert.Equal(ids.Order(), (await service.HistoryAsync("A1")).Order());
        Assert.All(await Task.WhenAll(ids.Select(service.ReadAsync)), read => Assert.Equal((HttpStatusCode.OK, "pending"), (read.Status, read.Body.GetProperty("state").GetString())));
        Assert.Equal(HttpStatusCode.NotFound, (await service.ReadAsync(lost)).Status);
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", lost));
        Assert.Equal(HttpStatusCode.OK, await service.DecideAsync("A1", ids[0]));
        await service.ReadyAsync();

        // The log tells of the outage once, not per request, and not each time that somebody asks for readiness.
        Assert.Single(service.Output, line => line.Contains("Requests are answered 503", StringComparison.Ordinal));
        Assert.DoesNotContain(service.Output, line => line.Contains("the database does not answer", StringComparison.Ordinal));
        Assert.InRange(service.Output.Count, 3, 5);
    }

    [SkippableFact]
    public async Task When_all_processes_were_killed_one_at_another_address_goes_on_where_they_ended()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
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
}
