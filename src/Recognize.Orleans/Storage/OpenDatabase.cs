using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage.Sqlite;

namespace Recognize.Orleans.Storage;

/// <summary>The database of this process, and the lock that reserves a SQLite file for one process.</summary>
internal sealed class OpenDatabase : IAsyncDisposable
{
    private readonly SqliteLock? fileLock;

    private OpenDatabase(Database database, SqliteLock? fileLock)
    {
        Database = database;
        this.fileLock = fileLock;
    }

    public Database Database { get; }

    /// <exception cref="StartRefusedException">
    /// Another process uses the SQLite file, or the file is missing although its log exists.
    /// </exception>
    public static OpenDatabase Open(StorageSettings settings)
    {
        SqliteLock? held = null;
        if (settings.Engine is StorageEngine.Sqlite)
        {
            var file = SqliteDatabase.FileOf(settings.ConnectionString);
            if (!SqliteLock.TryAcquire(file, out held))
            {
                throw new StartRefusedException(
                    [$"Another process uses the SQLite database {file}. SQLite serves one process; use SQL Server or PostgreSQL for several."]);
            }

            // SQLite would delete the log, which may be all that is left of the data.
            if (!File.Exists(file) && new FileInfo(file + "-wal") is { Exists: true, Length: > 0 } log)
            {
                held.Dispose();
                throw new StartRefusedException([$"There is the log {log.FullName}, but not its database: put {file} back, or move the log away to begin with an empty database."]);
            }
        }

        return new(Database.Create(settings.Engine, settings.ConnectionString), held);
    }

    public async ValueTask DisposeAsync()
    {
        await Database.DisposeAsync();
        fileLock?.Dispose();
    }
}
