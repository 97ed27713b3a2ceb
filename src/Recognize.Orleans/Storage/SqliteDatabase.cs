using System.Data.Common;
using DbUp;
using DbUp.Builder;
using DbUp.Sqlite.Helpers;
using Microsoft.Data.Sqlite;

namespace Recognize.Orleans.Storage;

/// <summary>A file beside the program.</summary>
internal sealed class SqliteDatabase(string connectionString) : Database(StorageEngine.Sqlite, new SqliteDataSource(connectionString))
{
    public override string Invariant => "System.Data.SQLite";

    public override string LockSchemaText => "BEGIN EXCLUSIVE";

    public override string HasSchemaText => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'RecognizeSchema'";

    protected override string ReadClockText => "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')";

    /// <summary>The file of a connection string, as it is written there.</summary>
    public static string FileOf(string connectionString) => new SqliteConnectionStringBuilder(connectionString).DataSource;

    public static string? FaultIn(string connectionString)
    {
        var settings = new SqliteConnectionStringBuilder(connectionString);
        return settings switch
        {
            { DataSource: "" } => "names no file: set Data Source.",
            { DataSource: ":memory:" } or { Mode: SqliteOpenMode.Memory } => "names a database in memory, which would forget every operation: set Data Source to a file.",
            { Mode: SqliteOpenMode.ReadOnly } => "opens the file for reading only.",
            _ when settings.DataSource.StartsWith("file:", StringComparison.OrdinalIgnoreCase) => "names its file as a URI: set Data Source to a plain path.",
            _ => null,
        };
    }

    public override IRows CreateRows(string serviceId) => new SqliteRows(DataSource, serviceId);

    // The file is created on the first use.
    public override Task<bool> ExistsAsync() => Task.FromResult(true);

    public override void CreateOnServer()
    {
    }

    public override string UnlockSchemaText(bool applied) => applied ? "COMMIT" : "ROLLBACK";

    // The scripts run inside the exclusive transaction that is the lock: SQLite would let no other connection write.
    public override UpgradeEngineBuilder MigrationUnder(DbConnection locked) =>
        DeployChanges.To.SqliteDatabase(new SharedConnection(locked)).WithoutTransaction();
}
