using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage.Sqlite;

public sealed class SqliteLockTests : IDisposable
{
    private readonly string folder = Directory.CreateTempSubdirectory("recognize-lock-").FullName;

    [Fact]
    public void A_second_holder_is_refused_until_the_first_lets_go()
    {
        var file = Path.Combine(folder, "recognize.db");

        Assert.True(SqliteLock.TryAcquire(file, out var first));
        Assert.False(SqliteLock.TryAcquire(file, out _));
        first.Dispose();
        Assert.True(SqliteLock.TryAcquire(file, out var second));
        second.Dispose();
    }

    [Fact]
    public void One_file_is_one_lock_however_its_path_is_written()
    {
        var file = Path.Combine(folder, "recognize.db");

        Assert.True(SqliteLock.TryAcquire(file, out var held));
        Assert.False(SqliteLock.TryAcquire(Path.GetRelativePath(Environment.CurrentDirectory, file), out _));
        Assert.False(SqliteLock.TryAcquire(Path.Combine(folder, "x", "..", "recognize.db"), out _));
        held.Dispose();
    }

    [Fact]
    public void A_link_to_the_file_shares_its_lock()
    {
        var file = Path.Combine(folder, "recognize.db");
        var link = Path.Combine(folder, "link.db");
        File.CreateSymbolicLink(link, file);

        Assert.True(SqliteLock.TryAcquire(file, out var held));
        Assert.False(SqliteLock.TryAcquire(link, out _));
        held.Dispose();
    }

    [Fact]
    public void Two_files_are_two_locks()
    {
        Assert.True(SqliteLock.TryAcquire(Path.Combine(folder, "one.db"), out var one));
        Assert.True(SqliteLock.TryAcquire(Path.Combine(folder, "two.db"), out var two));
        one.Dispose();
        two.Dispose();
    }

    [Fact]
    public void A_folder_that_is_not_there_is_refused_and_not_made()
    {
        var missing = Path.Combine(folder, "not", "mounted");

        var refusal = Assert.Throws<DirectoryNotFoundException>(() => SqliteLock.TryAcquire(Path.Combine(missing, "recognize.db"), out _));

        Assert.Contains(missing, refusal.Message, StringComparison.Ordinal);
        Assert.False(Directory.Exists(missing));
    }

    [Fact]
    public async Task The_lock_does_not_hinder_the_database_itself()
    {
        await using var test = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        Assert.True(SqliteLock.TryAcquire(SqliteDatabase.FileOf(test.ConnectionString), out var held));
        await using var database = test.Open();

        await Schema.ApplyAsync(database, CancellationToken.None);

        Assert.Null(await Schema.CheckAsync(database, CancellationToken.None));
        held.Dispose();
    }

    public void Dispose() => Directory.Delete(folder, recursive: true);
}
