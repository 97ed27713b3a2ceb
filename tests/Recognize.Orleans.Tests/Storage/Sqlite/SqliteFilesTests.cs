using System.Runtime.Versioning;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage.Sqlite;

[UnsupportedOSPlatform("windows")]
public sealed class SqliteFilesTests
{
    private const int OpenToOthers = 30;
    private const UnixFileMode Owner = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    [SkippableFact]
    public async Task A_new_database_is_for_its_owner_only_and_a_start_says_nothing_of_it()
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var service = await TestService.StartAsync(database);
        (await service.Acme.CreateAsync("A1", "txn-1", "payload")).ShouldBeSuccess();

        Assert.All(FilesOf(database), file => Assert.Equal((file, Owner), (file, File.GetUnixFileMode(file))));
        Assert.DoesNotContain(service.Logs.All, line => line is { EventId: OpenToOthers, Category: "Recognize.Orleans.Hosting.Lifecycle" });
    }

    [SkippableFact]
    public async Task A_file_that_is_there_keeps_its_mode_and_the_start_says_how_to_close_it()
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        var file = FilesOf(database)[0];
        File.SetUnixFileMode(file, Owner | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        await using (var service = await TestService.StartAsync(database))
        {
            var line = Assert.Single(await service.Logs.WaitForAsync(OpenToOthers));
            Assert.Contains($"chmod 600 {file}", line.Message, StringComparison.Ordinal);
            Assert.Equal(Owner | UnixFileMode.GroupRead | UnixFileMode.OtherRead, File.GetUnixFileMode(file));
        }

        File.SetUnixFileMode(file, Owner);
        await using var closed = await TestService.StartAsync(database);
        Assert.DoesNotContain(closed.Logs.All, line => line is { EventId: OpenToOthers, Category: "Recognize.Orleans.Hosting.Lifecycle" });
    }

    [SkippableTheory]
    [InlineData("", UnixFileMode.GroupRead)]
    [InlineData("", UnixFileMode.OtherWrite)]
    [InlineData("-wal", UnixFileMode.OtherRead)]
    [InlineData("-shm", UnixFileMode.GroupWrite)]
    [InlineData(".lock", UnixFileMode.OtherRead)]
    public async Task Every_file_of_a_database_counts_and_every_right_of_another_user(string suffix, UnixFileMode right)
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var service = await TestService.StartAsync(database);
        var file = FilesOf(database)[0];
        Assert.Empty(SqliteFiles.OpenToOthers(file));

        File.SetUnixFileMode(file + suffix, Owner | right);

        Assert.Equal([file + suffix], SqliteFiles.OpenToOthers(file));
    }

    [SkippableFact]
    public async Task A_database_that_a_link_leads_to_is_created_where_the_link_says()
    {
        Skip.If(OperatingSystem.IsWindows(), "Windows has no modes.");
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        var file = FilesOf(database)[0];
        var link = Path.Combine(Path.GetDirectoryName(file)!, "link.db");
        File.CreateSymbolicLink(link, file);

        await using var service = await TestService.StartAsync(database.At($"Data Source={link}"));

        Assert.All(FilesOf(database), each => Assert.Equal((each, Owner), (each, File.GetUnixFileMode(each))));
    }

    private static string[] FilesOf(TestDatabase database)
    {
        var file = SqliteDatabase.FileOf(database.ConnectionString);
        return [file, $"{file}-wal", $"{file}-shm", $"{file}.lock"];
    }
}
