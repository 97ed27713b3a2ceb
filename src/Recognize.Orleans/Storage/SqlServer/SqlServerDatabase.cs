using System.Data;
using System.Data.Common;
using DbUp;
using DbUp.Builder;
using DbUp.Engine.Output;
using Microsoft.Data.SqlClient;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage.SqlServer;

/// <summary>A database on a SQL Server, or Azure SQL.</summary>
internal sealed class SqlServerDatabase(string connectionString)
    : Database(StorageEngine.SqlServer, new SqlServerDataSource(connectionString))
{
    private const int OldestCompatibilityLevel = 130;
    private const int OldestMajorVersion = 13;
    private const int FirstEditionInAzure = 5;
    private const string SchemaLock = "Recognize.Orleans.Schema";

    private readonly string connectionString = connectionString;

    public override string Invariant => "Microsoft.Data.SqlClient";

    public override string LockSchemaText =>
        $"""
        DECLARE @Result INT;
        EXEC @Result = sp_getapplock @Resource = N'{SchemaLock}', @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = {(int)Schema.Patience.TotalMilliseconds};
        IF @Result < 0 THROW 50000, N'Another process holds the lock for schema changes.', 1;
        """;

    public override string HasSchemaText => "SELECT CASE WHEN OBJECT_ID(N'RecognizeSchema', N'U') IS NULL THEN 0 ELSE 1 END";

    // Longer than a write takes and shorter than a caller waits. A row that another session holds locked must not stop
    // everything for as long as it is held.
    protected override string SessionText => "SET LOCK_TIMEOUT 2000;\n";

    protected override string ReadClockText => "SELECT SYSUTCDATETIME()";

    protected override string NowText => "SYSUTCDATETIME()";

    protected override string IsReadOnlyText => "CASE DATABASEPROPERTYEX(DB_NAME(), 'Updateability') WHEN 'READ_ONLY' THEN 1 ELSE 0 END";

    // If two clusters insert at once, one finds the key taken. The update below then decides by the owner of the row.
    protected override string ClaimText =>
        $"""
        SET NOCOUNT ON;
        BEGIN TRY
            INSERT INTO RecognizeCluster (ServiceId, ClusterId, ClaimedAt, NewestTime)
            SELECT @ServiceId, @ClusterId, SYSUTCDATETIME(), SYSUTCDATETIME()
            WHERE NOT EXISTS (SELECT 1 FROM RecognizeCluster WHERE ServiceId = @ServiceId);
        END TRY
        BEGIN CATCH
            IF ERROR_NUMBER() NOT IN (2601, 2627) THROW;
        END CATCH;

        UPDATE RecognizeCluster
        SET ClusterId = @ClusterId, ClaimedAt = SYSUTCDATETIME()
        WHERE ServiceId = @ServiceId
            AND (ClusterId = @ClusterId
                OR (ClaimedAt < DATEADD(SECOND, -{Times.ClusterClaim.TotalSeconds}, SYSUTCDATETIME())
                    AND NOT EXISTS
                    (
                        SELECT 1 FROM OrleansMembershipTable AS silo
                        WHERE silo.DeploymentId = RecognizeCluster.ClusterId AND silo.Status <> {(int)SiloStatus.Dead}
                            AND silo.IAmAliveTime > DATEADD(SECOND, -{Times.ClusterClaim.TotalSeconds}, SYSUTCDATETIME())
                            AND silo.IAmAliveTime < DATEADD(SECOND, {Times.ClusterClaim.TotalSeconds}, SYSUTCDATETIME())
                    )));

        SELECT ClusterId, NewestTime, SweepsFrom FROM RecognizeCluster WHERE ServiceId = @ServiceId;
        """;

    public override async Task AddServerErrorsAsync(ICollection<string> faults, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(
            connection,
            """
            SELECT
                CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS NVARCHAR(60)),
                CAST(SERVERPROPERTY('ProductVersion') AS NVARCHAR(128)),
                CAST(SERVERPROPERTY('EngineEdition') AS INT),
                (SELECT CAST(compatibility_level AS INT) FROM sys.databases WHERE name = DB_NAME());
            SELECT OBJECT_NAME(object_id), name, collation_name
            FROM sys.columns
            WHERE object_id IN (OBJECT_ID(N'OrleansStorage'), OBJECT_ID(N'RecognizeCluster'), OBJECT_ID(N'OrleansMembershipTable'))
                AND name IN (N'GrainIdExtensionString', N'GrainTypeString', N'ServiceId', N'OwnerKey', N'OpenKey', N'DueKey', N'ClusterId', N'DeploymentId');
            """);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        if (await reader.ReadAsync(cancellationToken))
        {
            AddFaultsOfDatabase(faults, TextOrNull(reader, 0), TextOrNull(reader, 1), NumberOrNull(reader, 2), NumberOrNull(reader, 3));
        }

        // A missing table returns no row here. The schema will create its columns.
        await reader.NextResultAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            AddFaultsOfColumn(faults, reader.GetString(0), reader.GetString(1), TextOrNull(reader, 2));
        }
    }

    public override IRowStore CreateRowStore(string serviceId, SiloIdentity? silo, TimeProvider clock) => new SqlServerRowStore(this, serviceId, silo, clock);

    public override async Task<DbConnection> OpenHeldAsync(CancellationToken cancellationToken)
    {
        var connection = new SqlConnection(new SqlConnectionStringBuilder(DataSource.ConnectionString) { Pooling = false }.ConnectionString);
        try
        {
            await connection.OpenAsync(cancellationToken);
            return connection;
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    public override void ClearPool() => ((SqlServerDataSource)DataSource).ClearPool();

    public override FaultScope Classify(Exception fault) => fault switch
    {
        // This must come first: while the database is away, the server also says that the login failed.
        SqlException known when known.Errors.Cast<SqlError>().Any(IsOfSession) => FaultScope.Session,
        SqlException known when known.Errors.Cast<SqlError>().Any(error => IsOfNode(error.Number)) => FaultScope.Node,
        SqlException known when SqlServerRowStore.IsOfTheBatch(known) => FaultScope.Statement,
        _ => FaultScope.Database,
    };

    public override async Task<bool> ExistsAsync()
    {
        // Without the pool, in which the driver caches a failed login and repeats it for seconds.
        await using var connection = new SqlConnection(new SqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        try
        {
            await connection.OpenAsync();
            return true;
        }
        catch (SqlException fault) when (MayMeanNoSuchDatabase(fault))
        {
            return false;
        }
    }

    public override void CreateOnServer() => EnsureDatabase.For.SqlDatabase(connectionString, new NoOpUpgradeLog());

    public override string UnlockSchemaText(bool applied) => $"EXEC sp_releaseapplock @Resource = N'{SchemaLock}', @LockOwner = 'Session';";

    public override UpgradeEngineBuilder MigrationUnder(DbConnection locked) =>
        DeployChanges.To.SqlDatabase(() => (SqlConnection)DataSource.CreateConnection()).WithTransactionPerScript();

    /// <summary>Adds what is wrong with a database, according to its own properties.</summary>
    internal static void AddFaultsOfDatabase(ICollection<string> faults, string? updateability, string? version, int? edition, int? compatibilityLevel)
    {
        if (updateability == "READ_ONLY")
        {
            faults.Add("The database is read-only: connect to the primary replica (without ApplicationIntent=ReadOnly), or run ALTER DATABASE CURRENT SET READ_WRITE.");
        }

        // The view needs OPENJSON, which SQL Server has from this level on. Azure SQL has the levels of the newest
        // server but an old version number. Any other server with an old version number is not judged by its level: it
        // has OPENJSON, or the schema cannot be applied.
        var hasLevels = edition >= FirstEditionInAzure || (Version.TryParse(version, out var number) && number.Major >= OldestMajorVersion);
        if (hasLevels && compatibilityLevel < OldestCompatibilityLevel)
        {
            faults.Add($"The database has compatibility level {compatibilityLevel} and this program needs {OldestCompatibilityLevel} or higher: run ALTER DATABASE CURRENT SET COMPATIBILITY_LEVEL = {OldestCompatibilityLevel}.");
        }
    }

    /// <summary>Adds what is wrong with the collation of a key column.</summary>
    internal static void AddFaultsOfColumn(ICollection<string> faults, string table, string column, string? collation)
    {
        if (collation?.EndsWith("_BIN2", StringComparison.OrdinalIgnoreCase) is not true)
        {
            faults.Add($"The column {column} of {table} has the collation {collation}, by which different keys are one or sort in another order: make the table as sql/sqlserver/0001-schema.sql does, with Latin1_General_100_BIN2, and copy its rows.");
        }
    }

    // DATETIME would round to three milliseconds and make the server convert the column.
    protected override StatementValue Time(string name, DateTimeOffset time) => new(name, time.UtcDateTime, DbType.DateTime2);

    // No permission, no such object or column, no valid login.
    // https://learn.microsoft.com/sql/relational-databases/errors-events/database-engine-events-and-errors
    private static bool IsOfNode(int number) => number is 207 or 208 or 229 or 230 or 262 or 18_452 or 18_456;

    // The database is recovering, restoring, offline or cannot be opened, is read-only, or is a secondary replica now.
    // From class 20 on the session is gone, and the idle ones are gone too.
    private static bool IsOfSession(SqlError error) => error.Number is 922 or 927 or 942 or 976 or 978 or 983 or 3_906 or 4_060 or 40_613 || error.Class >= 20;

    private static string? TextOrNull(DbDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetString(column);

    private static int? NumberOrNull(DbDataReader reader, int column) => reader.IsDBNull(column) ? null : reader.GetInt32(column);

    // A login to a missing database fails with one of several numbers. From class 20 on no server answered at all.
    private static bool MayMeanNoSuchDatabase(SqlException fault) => fault.Class < 20;
}
