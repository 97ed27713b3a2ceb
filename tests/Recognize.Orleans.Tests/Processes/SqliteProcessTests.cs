using System.Collections.Concurrent;
using System.Net;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage.Sqlite;
using Xunit;

namespace Recognize.Orleans.Processes;

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
        Assert.Equal(["txn-1"], await service.HistoryAsync("A1"));
        Assert.Equal(HttpStatusCode.Conflict, await service.CreateAsync("A1", "txn-1"));
        var (status, body) = await service.ReadAsync("txn-1");
        Assert.Equal((HttpStatusCode.OK, "node-1", "pay \0 5"), (status, body.GetProperty("nodeId").GetString(), body.GetProperty("operationPayload").GetString()));
    }

    [Theory]
    [InlineData("true")]
    [InlineData("false")]
    public async Task Whatever_was_answered_until_a_kill_under_load_is_in_the_history_of_its_user(string groupCommit)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        var acknowledged = new ConcurrentBag<(string User, string Id)>();
        await using (var killed = await ServiceProcess.StartAsync(database, "node-1", ("Recognize:Storage:GroupCommit", groupCommit)))
        {
            var progress = new Progress();

            // The kill ends it.
            var load = Load.Start(8, CreateAsync, CancellationToken.None);
            await progress.AdvancesBy(200);
            await killed.KillAsync();
            await Task.WhenAll(load.Select(worker => Assert.ThrowsAsync<HttpRequestException>(() => worker))).WaitAsync(ServiceProcess.Patience);

            async Task CreateAsync(int worker, int count)
            {
                var (user, id) = ($"{worker:X2}{count % 3:X2}", Journey.NewId());
                Assert.Equal(HttpStatusCode.OK, await killed.CreateAsync(user, id));
                acknowledged.Add((user, id));
                progress.Step();
            }
        }

        await using var service = await ServiceProcess.StartAsync(database, "node-2", ("Recognize:Storage:GroupCommit", groupCommit));

        await Assert.AllAsync(acknowledged.GroupBy(one => one.User, one => one.Id), async user =>
        {
            // What was written and not answered any more may be there too, and is on the list as well.
            var history = await service.HistoryAsync(user.Key);
            Assert.Subset(history.ToHashSet(), user.ToHashSet());
            Assert.Equal(history.Order(), (await service.ListAsync(user.Key)).Order());
        });
    }

    [SkippableTheory]
    [InlineData("000")]
    [InlineData("022")]
    [InlineData("077")]
    [UnsupportedOSPlatform("windows")]
    public async Task The_files_of_a_new_database_are_for_their_owner_only_whatever_the_umask(string octal)
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        var former = SetUmask(Convert.ToUInt32(octal, 8));
        await using var service = ServiceProcess.Launch(database, "node-1");
        Assert.Equal(Convert.ToUInt32(octal, 8), SetUmask(former));
        await service.ReadyAsync();
        Assert.Equal(HttpStatusCode.OK, await service.CreateAsync("A1", "txn-1"));

        var file = SqliteDatabase.FileOf(database.ConnectionString);
        string[] files = [file, $"{file}-wal", $"{file}-shm", $"{file}.lock"];
        Assert.All(files, each => Assert.Equal((each, UnixFileMode.UserRead | UnixFileMode.UserWrite), (each, File.GetUnixFileMode(each))));
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

    [DllImport("libc", EntryPoint = "umask")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern uint SetUmask(uint mask);
}
