using System.Data.Common;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Recognize.Orleans.Storage;

/// <summary>
/// Pooled connections to one SQLite file. Each is handed out with no transaction open, waits for other writers
/// instead of failing, and has synced what it commits before it says so.
/// </summary>
internal sealed class SqliteDataSource(string connectionString) : DbDataSource
{
    private readonly string connectionString = new SqliteConnectionStringBuilder(connectionString).ConnectionString;

    public override string ConnectionString => connectionString;

    protected override DbConnection CreateDbConnection() => new PreparedConnection(connectionString);

    /// <summary>Closes the idle connections of the pool, so that the file can be moved or deleted.</summary>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            using var connection = new SqliteConnection(connectionString);
            SqliteConnection.ClearPool(connection);
        }

        base.Dispose(disposing);
    }

    protected override ValueTask DisposeAsyncCore()
    {
        Dispose(disposing: true);
        return base.DisposeAsyncCore();
    }

    private sealed class PreparedConnection(string connectionString) : SqliteConnection(connectionString)
    {
        private const int BusyTimeoutMilliseconds = 5_000;

        public override void Open()
        {
            base.Open();
            try
            {
                // The pool keeps the native connection as its last user left it, with a transaction that a failed script
                // did not reach the end of: every later write on it would fail.
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
