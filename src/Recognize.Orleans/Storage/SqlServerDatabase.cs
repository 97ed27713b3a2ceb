using System.Data.Common;
using DbUp;
using DbUp.Builder;
using DbUp.Engine.Output;
using Microsoft.Data.SqlClient;

namespace Recognize.Orleans.Storage;

/// <summary>A database on a SQL Server, or Azure SQL.</summary>
internal sealed class SqlServerDatabase(string connectionString)
    : Database(StorageEngine.SqlServer, SqlClientFactory.Instance.CreateDataSource(connectionString))
{
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

    protected override string ReadClockText => "SELECT SYSUTCDATETIME()";

    protected override string IsReadOnlyText => "CASE DATABASEPROPERTYEX(DB_NAME(), 'Updateability') WHEN 'READ_ONLY' THEN 1 ELSE 0 END";

    // Of two that insert at once one finds the key taken, and whose it is decides below.
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
                OR (ClaimedAt < DATEADD(SECOND, -{ClusterClaim.Patience.TotalSeconds}, SYSUTCDATETIME())
                    AND NOT EXISTS
                    (
                        SELECT 1 FROM OrleansMembershipTable AS silo
                        WHERE silo.DeploymentId = RecognizeCluster.ClusterId AND silo.Status <> {(int)SiloStatus.Dead}
                            AND silo.IAmAliveTime > DATEADD(SECOND, -{ClusterClaim.Patience.TotalSeconds}, SYSUTCDATETIME())
                            AND silo.IAmAliveTime < DATEADD(SECOND, {ClusterClaim.Patience.TotalSeconds}, SYSUTCDATETIME())
                    )));

        SELECT ClusterId, NewestTime, SweepsFrom FROM RecognizeCluster WHERE ServiceId = @ServiceId;
        """;

    protected override string HoldSweepsText => "UPDATE RecognizeCluster SET SweepsFrom = @Until WHERE ServiceId = @ServiceId;";

    protected override string RenewClaimText =>
        """
        UPDATE RecognizeCluster
        SET ClaimedAt = SYSUTCDATETIME(), NewestTime = CASE WHEN NewestTime < @Newest THEN @Newest ELSE NewestTime END
        WHERE ServiceId = @ServiceId AND ClusterId = @ClusterId
        """;

    public static string? FaultIn(string connectionString) => new SqlConnectionStringBuilder(connectionString) switch
    {
        { DataSource: "" } => "names no server: set Data Source.",
        { InitialCatalog: "", AttachDBFilename: "" } => "names no database: set Initial Catalog.",
        _ => null,
    };

    public override Task AddServerFaultsAsync(ICollection<string> faults, CancellationToken cancellationToken) => Task.CompletedTask;

    public override IRows CreateRows(string serviceId, SiloIdentity? silo, TimeProvider clock) => new SqlServerRows(DataSource, serviceId, silo);

    public override async Task<DbConnection> OpenHeldAsync(CancellationToken cancellationToken)
    {
        var connection = new SqlConnection(new SqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        await connection.OpenAsync(cancellationToken);
        return connection;
    }

    public override void ClearPool()
    {
        using var connection = (SqlConnection)DataSource.CreateConnection();
        SqlConnection.ClearPool(connection);
    }

    public override FaultOf Classify(Exception fault) => FaultOf.Database;

    public override string FirstText(string columns, string rows) => $"SELECT TOP (@count) {columns} {rows};";

    public override async Task<bool> ExistsAsync()
    {
        // Without the pool: the driver remembers a failed login there and repeats it for seconds.
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

    // A login to a missing database is answered with several numbers; from class 20 on no server answered at all.
    private static bool MayMeanNoSuchDatabase(SqlException fault) => fault.Class < 20;
}
