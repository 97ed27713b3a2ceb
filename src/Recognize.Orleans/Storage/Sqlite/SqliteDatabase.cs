using System.Data;
using System.Data.Common;
using System.Globalization;
using DbUp;
using DbUp.Builder;
using DbUp.Sqlite.Helpers;
using Microsoft.Data.Sqlite;
using Recognize.Orleans.Foundation;
using SQLitePCL;

namespace Recognize.Orleans.Storage.Sqlite;

/// <summary>A file beside the program.</summary>
internal sealed class SqliteDatabase(string connectionString) : Database(StorageEngine.Sqlite, new SqliteDataSource(connectionString))
{
    public override string Invariant => "System.Data.SQLite";

    public override string LockSchemaText => "BEGIN EXCLUSIVE";

    public override string HasSchemaText => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'RecognizeSchema'";

    protected override string ReadClockText => "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')";

    protected override string NowText => "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

    protected override string IsReadOnlyText => "0";

    // One process owns the file, so there is no owner to take it from. The last row written may be newer than the last
    // renewal.
    protected override string ClaimText =>
        $"""
        INSERT INTO RecognizeCluster (ServiceId, ClusterId, ClaimedAt, NewestTime)
        VALUES (@ServiceId, @ClusterId, {NowText}, {NowText})
        ON CONFLICT DO UPDATE SET ClusterId = excluded.ClusterId, ClaimedAt = excluded.ClaimedAt;

        SELECT ClusterId, strftime('%Y-%m-%d %H:%M:%f', max(NewestTime, coalesce((SELECT ModifiedOn FROM OrleansStorage ORDER BY rowid DESC LIMIT 1), ''))),
            strftime('%Y-%m-%d %H:%M:%f', SweepsFrom)
        FROM RecognizeCluster
        WHERE ServiceId = @ServiceId;
        """;

    /// <summary>The file in a connection string, as it is written there.</summary>
    public static string FileOf(string connectionString) => new SqliteConnectionStringBuilder(connectionString).DataSource;

    // A file has one right, that it can be written, and the claim that follows finds out.
    public override Task<IReadOnlyCollection<string>> MissingRightsAsync(CancellationToken cancellationToken) => Task.FromResult<IReadOnlyCollection<string>>([]);

    public override Task AddServerErrorsAsync(ICollection<string> faults, CancellationToken cancellationToken) => Task.CompletedTask;

    public override IRowStore CreateRowStore(string serviceId, SiloIdentity? silo, TimeProvider clock) => new SqliteRowStore((SqliteDataSource)DataSource, serviceId);

    public override async Task<DbConnection> OpenHeldAsync(CancellationToken cancellationToken) => await DataSource.OpenConnectionAsync(cancellationToken);

    public override void ThrowIfLost() => ((SqliteDataSource)DataSource).ThrowIfMoved();

    public override void ClearPool() => ((SqliteDataSource)DataSource).ClearPool();

    // Only this node uses the file, so a fault of the file is the node's. The exception is a lock that another program
    // holds on the file, because it goes away.
    public override FaultScope Classify(Exception fault) => fault switch
    {
        SqliteException { SqliteErrorCode: raw.SQLITE_BUSY or raw.SQLITE_LOCKED } => FaultScope.Database,
        SqliteException { SqliteErrorCode: raw.SQLITE_CONSTRAINT or raw.SQLITE_TOOBIG } => FaultScope.Statement,
        SqliteException or IOException => FaultScope.Node,
        _ => FaultScope.Database,
    };

    // The clock is the machine's, and nobody can vote the only process dead. Opening a connection still checks the
    // file.
    public override async Task<DatabaseStatus> LookAsync(string serviceId, SiloIdentity silo, CancellationToken cancellationToken)
    {
        await using (await DataSource.OpenConnectionAsync(cancellationToken))
        {
            return new(TimeProvider.System.GetUtcNow(), SiloStatus.Active, silo.ClusterId, IsReadOnly: false);
        }
    }

    // The file is created on first use.
    public override Task<bool> ExistsAsync() => Task.FromResult(true);

    public override void CreateOnServer()
    {
    }

    protected override StatementValue Time(string name, DateTimeOffset time) =>
        new(name, time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture), DbType.String);

    public override string UnlockSchemaText(bool applied) => applied ? "COMMIT" : "ROLLBACK";

    // The scripts run inside the exclusive transaction that is the lock, because SQLite lets no other connection write
    // meanwhile.
    public override UpgradeEngineBuilder MigrationUnder(DbConnection locked) =>
        DeployChanges.To.SqliteDatabase(new SharedConnection(locked)).WithoutTransaction();
}
