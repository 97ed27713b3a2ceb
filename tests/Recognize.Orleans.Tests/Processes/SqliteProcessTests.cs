using System.Net;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Processes;

[Collection(RealProcesses.Name)]
public sealed class SqliteProcessTests
{
    [Fact]
    public async Task What_was_answered_before_a_kill_is_there_after_the_next_start()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using (var killed = await ServiceProcess.StartAsync(database, "node-1"))
        {
            Assert.Equal(HttpStatusCode.OK, await killed.CreateAsync("A1", "txn-1", "pay \0 5"));
            await killed.KillAsync();
        }

        await using var service = await ServiceProcess.StartAsync(database, "node-2");

        Assert.Equal(["txn-1"], await service.ListAsync("A1"));
        Assert.Equal(HttpStatusCode.Conflict, await service.CreateAsync("A1", "txn-1"));
        var (status, body) = await service.ReadAsync("txn-1");
        Assert.Equal((HttpStatusCode.OK, "node-1", "pay \0 5"), (status, body.GetProperty("nodeId").GetString(), body.GetProperty("operationPayload").GetString()));
    }

    [Fact]
    public async Task A_second_process_on_the_same_file_refuses_to_start_and_says_why()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var first = await ServiceProcess.StartAsync(database, "node-1");

        await using var second = ServiceProcess.Launch(database, "node-2");

        Assert.Equal(1, await second.ExitAsync());
        var output = string.Join('\n', second.Output);
        Assert.Contains("Another process uses the SQLite database", output, StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, await first.CreateAsync("A1", "txn-1"));
    }
}
