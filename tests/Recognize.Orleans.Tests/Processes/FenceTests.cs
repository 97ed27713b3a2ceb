using System.Net;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.Stopping;
using Xunit;

namespace Recognize.Orleans.Processes;

/// <summary>A node that the others have gone on without ends by itself and says why.</summary>
[Collection(MeasuredProcesses.Name)]
public sealed class FenceTests
{
    private const string OldClaims = "UPDATE RecognizeCluster SET ClaimedAt = clock_timestamp() - interval '16 seconds'";

    [SkippableTheory]
    [InlineData("UPDATE OrleansMembershipTable SET Status = 6", "declared this one dead")]
    [InlineData("DELETE FROM OrleansMembershipTable", "gone from OrleansMembershipTable")]
    [InlineData("UPDATE RecognizeCluster SET ClusterId = 'other'", "The cluster other has taken the service recognize over")]
    public async Task A_node_that_may_not_write_any_more_says_so_in_one_sentence_and_stops_at_once(string happens, string said)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("Recognize:Silo:DrainDelay", "00:02:00"));

        await database.ExecuteAsync(happens);

        Assert.Equal(ServiceStop.Fenced, await service.ExitAsync());
        Assert.Single(service.Output, line => line.Contains("writes nothing any more and stops", StringComparison.Ordinal) && line.Contains(said, StringComparison.Ordinal));
        Assert.DoesNotContain(service.Output, line => line.Contains("   at ", StringComparison.Ordinal));
        Assert.DoesNotContain(service.Output, line => line.Contains("FATAL", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task A_second_cluster_is_refused_until_the_first_has_shown_no_sign_of_life_for_fifteen_seconds()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var first = await ServiceProcess.StartAsync(database, "node-1");

        await using (var refused = ServiceProcess.Launch(database, "node-2", ("Recognize:Cluster:ClusterId", "other")))
        {
            Assert.Equal(1, await refused.ExitAsync());
            var sentence = Assert.Single(refused.Output, line => line.Contains("Recognize:Cluster:ClusterId", StringComparison.Ordinal));
            Assert.Contains("belongs to the cluster recognize", sentence, StringComparison.Ordinal);
        }

        await first.KillAsync();
        await database.ExecuteAsync(OldClaims);
        await Outage.GiveSilosUpAsync(database);
        await using var second = await ServiceProcess.StartAsync(database, "node-2", ("Recognize:Cluster:ClusterId", "other"));
        Assert.Equal(HttpStatusCode.OK, await second.CreateAsync("A1", "txn-1"));
    }

    [SkippableFact]
    public async Task A_node_that_is_stopped_is_dead_by_its_own_word_and_exits_with_zero()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await using var service = await ServiceProcess.StartAsync(database, "node-1");

        await service.TerminateAsync();

        Assert.Equal(0, await service.ExitAsync());
        Assert.DoesNotContain(service.Output, line => line.Contains("exit code", StringComparison.Ordinal));
    }
}
