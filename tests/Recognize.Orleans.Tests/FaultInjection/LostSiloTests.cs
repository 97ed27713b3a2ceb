using System.Diagnostics;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.Stopping;
using Recognize.Orleans.Processes;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.FaultInjection;

// A silo that the others have given up goes on where it stopped.
[Collection(MeasuredProcesses.Name)]
public sealed class LostSiloTests(ITestOutputHelper output)
{
    private const int Operations = 20;

    private static readonly string[] ThreeNodes = ["node-1", "node-2", "node-3"];

    [SkippableFact]
    public async Task Whatever_a_silo_answers_that_was_voted_dead_while_it_stood_still_the_others_tell_too_and_it_stops()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        var services = await ServiceProcess.StartAsync(database, ThreeNodes);
        await using var frozen = services[0];
        await using var two = services[1];
        await using var three = services[2];
        var client = new ApiClient(frozen.ApiUrl, ServiceProcess.Key);
        ApiClient[] others = [new(two.ApiUrl, ServiceProcess.Key), new(three.ApiUrl, ServiceProcess.Key)];
        var operations = Enumerable.Range(0, Operations).Select(number => (User: $"D{number:X4}", Id: ApiClient.NewId(), Next: ApiClient.NewId())).ToList();
        await InOrder.ForEachAsync(operations, async operation =>
        {
            // Whoever is asked first holds the grains.
            (await client.CreateAsync(operation.User, operation.Id)).ShouldBeSuccess();
            (await client.ReadAsync(operation.Id)).ShouldBe(200);
        });

        await frozen.FreezeAsync();
        var approvals = operations.Select(operation => client.PostAsync($"/v2/operations/{operation.Id}/decision", Approval(operation.User))).ToList();
        var creates = operations.Select(operation => client.CreateAsync(operation.User, operation.Next)).ToList();
        await Task.WhenAll(two.SeesAsync("Silo node-1 "), three.SeesAsync("Silo node-1 "), two.SeesAsync(" is gone."), three.SeesAsync(" is gone."));
        await Assert.AllAsync(operations, async operation =>
        {
            Assert.Equal("pending", StatusIn(await others[0].ReadAsync(operation.Id)));
            Assert.Equal([operation.Id], await others[1].PendingIdsAsync(operation.User));
        });

        await frozen.ThawAsync();
        var approved = (await Task.WhenAll(approvals.Select(AnsweredAsync))).Zip(operations).Where(one => one.First is 200).Select(one => one.Second).ToList();
        var created = (await Task.WhenAll(creates.Select(AnsweredAsync))).Zip(operations).Where(one => one.First is 200).Select(one => one.Second).ToList();
        var exit = await frozen.ExitAsync();

        // A call that was answered 200 was done elsewhere. That the silo itself writes nothing is tested beside the statement (GroupCommitFenceTests).
        Assert.All(
            await Task.WhenAll(approved.SelectMany(operation => others, (operation, other) => other.WaitAsync(operation.Id, 6))),
            answer => Assert.Equal("approved", StatusIn(answer)));
        Assert.All(
            await Task.WhenAll(created.SelectMany(operation => others, async (operation, other) => (operation.Next, Ids: await other.PendingIdsAsync(operation.User)))),
            list => Assert.Contains(list.Next, list.Ids));
        Assert.Equal(ServiceStop.Fenced, exit);
        Assert.DoesNotContain(frozen.Output, line => line.StartsWith("   at ", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task The_grains_of_a_silo_that_stands_still_answer_elsewhere_within_five_seconds()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        var services = await ServiceProcess.StartAsync(database, ThreeNodes);
        await using var frozen = services[0];
        await using var two = services[1];
        await using var three = services[2];
        var ids = await HoldAsync(frozen);

        await frozen.FreezeAsync();
        var time = Stopwatch.StartNew();
        var answers = await Task.WhenAll(ids.SelectMany(_ => new[] { two, three }, (id, service) => new ApiClient(service.ApiUrl, ServiceProcess.Key).ReadAsync(id)));
        output.WriteLine($"all answered after {time.Elapsed.TotalSeconds:F2} s");

        Assert.All(answers, answer => answer.ShouldBe(200));
        Assert.True(time.Elapsed < TimeSpan.FromSeconds(5), $"It took {time.Elapsed}.");
    }

    [SkippableFact]
    public async Task A_silo_that_stands_still_for_a_second_now_and_then_is_not_voted_dead()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        var services = await ServiceProcess.StartAsync(database, ThreeNodes);
        await using var frozen = services[0];
        await using var two = services[1];
        await using var three = services[2];
        var ids = await HoldAsync(frozen);

        await InOrder.ForEachAsync(ids, async id =>
        {
            await frozen.FreezeAsync();
            var answer = new ApiClient(two.ApiUrl, ServiceProcess.Key).ReadAsync(id);
            await Task.Delay(TimeSpan.FromSeconds(1));
            await frozen.ThawAsync();
            (await answer).ShouldBe(200);
        });

        Assert.DoesNotContain(services.SelectMany(service => service.Output), line => line.Contains(" is gone.", StringComparison.Ordinal));
        Assert.All(services, service => Assert.False(service.HasExited));
    }

    private static async Task<List<string>> HoldAsync(ServiceProcess service)
    {
        var ids = Enumerable.Range(0, Operations).Select(_ => ApiClient.NewId()).ToList();
        await service.CreateAndHoldAsync(ids.Select(id => ("A1", id)));
        return ids;
    }

    // The process may stop before it has answered.
    private static async Task<int> AnsweredAsync(Task<Answer> call)
    {
        try
        {
            return (await call).Status;
        }
        catch (Exception lost) when (lost is HttpRequestException or IOException)
        {
            return 0;
        }
    }

    private static string Approval(string user) => ApiClient.Object(("userId", user), ("decision", "approve"), ("authType", "pin"));

    private static string? StatusIn(Answer answer) => answer.ShouldBe(200).Json.GetProperty("status").GetString();
}
