using System.Data.Common;
using DbUp;
using DbUp.Builder;
using DbUp.Engine.Output;
using DbUp.Postgresql;
using Npgsql;

namespace Recognize.Orleans.Storage;

/// <summary>A database on a PostgreSQL server.</summary>
internal sealed class PostgreSqlDatabase(string connectionString)
    : Database(StorageEngine.PostgreSql, NpgsqlDataSource.Create(WithAutoPrepare(connectionString)))
{
    // The storage providers run a handful of statements; prepared on the server, they get about twice as many through.
    private const int DefaultMaxAutoPrepare = 50;

    // Any number, as long as nothing else that shares the database takes the same advisory lock.
    private const long SchemaLock = 0x5265636F676E697A;

    // The data source does not tell its password.
    private readonly string connectionString = connectionString;

    public override string Invariant => "Npgsql";

    public override string LockSchemaText => $"SELECT pg_advisory_lock({SchemaLock})";

    public override string HasSchemaText => "SELECT CASE WHEN to_regclass('recognizeschema') IS NULL THEN 0 ELSE 1 END";

    protected override string ReadClockText => "SELECT clock_timestamp() AT TIME ZONE 'UTC'";

    // Of two that take over at once the second one waits for the first one's row, looks at it again and finds it fresh.
    protected override string ClaimText =>
        $"""
        INSERT INTO RecognizeCluster (ServiceId, ClusterId, ClaimedAt, NewestTime)
        VALUES (@ServiceId, @ClusterId, clock_timestamp(), clock_timestamp())
        ON CONFLICT DO NOTHING;

        UPDATE RecognizeCluster
        SET ClusterId = @ClusterId, ClaimedAt = clock_timestamp()
        WHERE ServiceId = @ServiceId
            AND (ClusterId = @ClusterId
                OR (ClaimedAt < clock_timestamp() - interval '{ClusterClaim.Patience.TotalSeconds} seconds'
                    AND NOT EXISTS
                    (
                        SELECT 1 FROM OrleansMembershipTable AS silo
                        WHERE silo.DeploymentId = RecognizeCluster.ClusterId AND silo.Status <> {(int)SiloStatus.Dead}
                            AND silo.IAmAliveTime > clock_timestamp() - interval '{ClusterClaim.Patience.TotalSeconds} seconds'
                            AND silo.IAmAliveTime < clock_timestamp() + interval '{ClusterClaim.Patience.TotalSeconds} seconds'
                    )));

        SELECT ClusterId, NewestTime AT TIME ZONE 'UTC', SweepsFrom AT TIME ZONE 'UTC' FROM RecognizeCluster WHERE ServiceId = @ServiceId;
        """;

    protected override string HoldSweepsText => "UPDATE RecognizeCluster SET SweepsFrom = @Until WHERE ServiceId = @ServiceId";

    protected override string RenewClaimText =>
        """
        UPDATE RecognizeCluster
        SET ClaimedAt = clock_timestamp(), NewestTime = GREATEST(NewestTime, @Newest)
        WHERE ServiceId = @ServiceId AND ClusterId = @ClusterId
        """;

    public static string? FaultIn(string connectionString)
    {
        var settings = new NpgsqlConnectionStringBuilder(connectionString);
        if (string.IsNullOrEmpty(settings.Host))
        {
            return "names no server: set Host.";
        }

        if (string.IsNullOrEmpty(settings.Database))
        {
            return "names no database: set Database.";
        }

        // The driver looks at how settings go together only when it makes a data source.
        NpgsqlDataSource.Create(settings).Dispose();
        return null;
    }

    public override Task AddServerFaultsAsync(ICollection<string> faults, CancellationToken cancellationToken) => Task.CompletedTask;

    public override IRows CreateRows(string serviceId, SiloIdentity? silo) => new PostgreSqlRows((NpgsqlDataSource)DataSource, serviceId, silo);

    public override async Task<bool> ExistsAsync()
    {
        await using var connection = new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        try
        {
            await connection.OpenAsync();
            return true;
        }
        catch (PostgresException fault) when (fault.SqlState == PostgresErrorCodes.InvalidCatalogName)
        {
            return false;
        }
    }

    public override void CreateOnServer() => EnsureDatabase.For.PostgresqlDatabase(connectionString, new NoOpUpgradeLog());

    public override string UnlockSchemaText(bool applied) => $"SELECT pg_advisory_unlock({SchemaLock})";

    public override UpgradeEngineBuilder MigrationUnder(DbConnection locked) =>
        DeployChanges.To.PostgresqlDatabase(new PostgresqlConnectionManager((NpgsqlDataSource)DataSource)).WithTransactionPerScript();

    private static string WithAutoPrepare(string connectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);
        if (!builder.ShouldSerialize("Max Auto Prepare"))
        {
            builder.MaxAutoPrepare = DefaultMaxAutoPrepare;
        }

        return builder.ConnectionString;
    }
}
