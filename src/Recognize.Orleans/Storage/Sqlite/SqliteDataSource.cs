using System.Data.Common;
using System.Runtime.InteropServices;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Recognize.Orleans.Storage.Sqlite;

/// <summary>
/// Pooled connections to one SQLite file. Each one is handed out without an open transaction, waits for other writers
/// instead of failing, and syncs a commit to disk before it reports it.
/// </summary>
internal sealed partial class SqliteDataSource(string connectionString) : DbDataSource
{
    // The wrapper around the library has no name for this code:
    // https://www.sqlite.org/c3ref/c_fcntl_begin_atomic_write.html
    private const int HasMoved = 20;

    private readonly string connectionString = new SqliteConnectionStringBuilder(connectionString).ConnectionString;

    // Only the first connection may create the file. A later one would put an empty file where a full one was.
    private readonly string existing = WithMode(connectionString, SqliteOpenMode.ReadWrite);
    private readonly Lock gate = new();
    private SqliteConnection? first;
    private string log = "";

    public override string ConnectionString => connectionString;

    /// <summary>
    /// Throws if the file is no longer at its path. What is then written to it is lost when the process ends, and
    /// another process may start at the path.
    /// </summary>
    /// <exception cref="IOException">
    /// The file that the first connection opened, or the log of recent writes, was deleted, moved or replaced.
    /// </exception>
    public void ThrowIfMoved()
    {
        if (first is not { Handle: { } handle })
        {
            return;
        }

        // Windows does not support this check, but lets nobody delete an open file.
        var moved = 0;
        if (FileControl(handle, "main", HasMoved, ref moved) == raw.SQLITE_OK && moved != 0)
        {
            throw new IOException($"The database file {first.DataSource} was deleted or replaced while this process used it: put it back, or start again with what is there");
        }

        // SQLite keeps the log for as long as the first connection is open. If it is gone, somebody deleted it.
        if (!File.Exists(log))
        {
            throw new IOException($"The file {log} was deleted while this process used it, and with it what was written lately: start again");
        }
    }

    /// <summary>Closes the idle connections of the pool, so that the file can be moved or deleted.</summary>
    public void ClearPool()
    {
        using var connection = new SqliteConnection(existing);
        SqliteConnection.ClearPool(connection);
    }

    protected override DbConnection CreateDbConnection() => new PreparedConnection(this);

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            ClearPool();
            first?.Dispose();
        }

        base.Dispose(disposing);
    }

    protected override ValueTask DisposeAsyncCore()
    {
        Dispose(disposing: true);
        return base.DisposeAsyncCore();
    }

    private static string WithMode(string connectionString, SqliteOpenMode mode) =>
        new SqliteConnectionStringBuilder(connectionString) { Mode = mode }.ConnectionString;

    [LibraryImport("e_sqlite3", EntryPoint = "sqlite3_file_control", StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories | DllImportSearchPath.AssemblyDirectory)]
    private static partial int FileControl(sqlite3 database, string name, int code, ref int value);

    private void OpenFirst()
    {
        lock (gate)
        {
            if (first is not null)
            {
                return;
            }

            var settings = new SqliteConnectionStringBuilder(connectionString) { Pooling = false };
            if (settings.Mode is SqliteOpenMode.ReadWriteCreate)
            {
                SqliteFiles.CreateMissing(settings.DataSource);
            }

            var opening = new SqliteConnection(settings.ConnectionString);
            try
            {
                opening.Open();
                using var command = opening.CreateCommand();
                command.CommandText = "PRAGMA journal_mode = WAL; SELECT count(*) FROM sqlite_master";
                command.ExecuteScalar();
                log = raw.sqlite3_db_filename(opening.Handle, "main").utf8_to_string() + "-wal";
                first = opening;
            }
            finally
            {
                if (first is null)
                {
                    opening.Dispose();
                }
            }
        }
    }

    private sealed class PreparedConnection(SqliteDataSource source) : SqliteConnection(source.existing)
    {
        private const int BusyTimeoutMilliseconds = 5_000;

        public override void Open()
        {
            source.OpenFirst();
            source.ThrowIfMoved();
            base.Open();
            try
            {
                // The pool keeps the native connection as its last user left it. A script that failed halfway leaves a
                // transaction open, and every later write on the connection would fail.
                if (raw.sqlite3_get_autocommit(Handle) == 0)
                {
                    Execute("ROLLBACK");
                }

                raw.sqlite3_busy_timeout(Handle, BusyTimeoutMilliseconds);
                Execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
            }
            catch
            {
                Close();
                throw;
            }
        }

        private void Execute(string sql)
        {
            using var command = CreateCommand();
            command.CommandText = sql;
            command.ExecuteNonQuery();
        }
    }
}
