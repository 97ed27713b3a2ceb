using System.Data.Common;
using System.Net.Sockets;
using DbUp;
using DbUp.Builder;
using DbUp.Engine.Output;
using DbUp.Postgresql;
using Npgsql;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>A database on a PostgreSQL server.</summary>
internal sealed class PostgreSqlDatabase(string connectionString)
    : Database(StorageEngine.PostgreSql, NpgsqlDataSource.Create(WithDefaults(connectionString)))
{
    // Any number, as long as nothing else that shares the database takes the same advisory lock.
    private const long SchemaLock = 0x5265636F676E697A;

    // The data source does not tell its password.
    private readonly string connectionString = connectionString;

    // A statement that timed out ends its connection: nobody waits for the server's word on the cancellation.
    private readonly NpgsqlDataSource unpooled = NpgsqlDataSource.Create(
        new NpgsqlConnectionStringBuilder(WithDefaults(connectionString)) { Pooling = false, CancellationTimeout = -1 });

    public override string Invariant => "Npgsql";

    public override string LockSchemaText => $"SELECT pg_advisory_lock({SchemaLock})";

    public override string HasSchemaText => "SELECT CASE WHEN to_regclass('recognizeschema') IS NULL THEN 0 ELSE 1 END";

    protected override string ReadClockText => "SELECT clock_timestamp() AT TIME ZONE 'UTC'";

    protected override string IsReadOnlyText => "CASE current_setting('transaction_read_only') WHEN 'on' THEN 1 ELSE 0 END";

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
                OR (ClaimedAt < clock_timestamp() - interval '{Times.ClusterClaim.TotalSeconds} seconds'
                    AND NOT EXISTS
                    (
                        SELECT 1 FROM OrleansMembershipTable AS silo
                        WHERE silo.DeploymentId = RecognizeCluster.ClusterId AND silo.Status <> {(int)SiloStatus.Dead}
                            AND silo.IAmAliveTime > clock_timestamp() - interval '{Times.ClusterClaim.TotalSeconds} seconds'
                            AND silo.IAmAliveTime < clock_timestamp() + interval '{Times.ClusterClaim.TotalSeconds} seconds'
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

    public override IRowStore CreateRowStore(string serviceId, SiloIdentity? silo, TimeProvider clock) => new PostgreSqlRowStore(this, serviceId, silo, clock);

    public override async Task<DbConnection> OpenHeldAsync(CancellationToken cancellationToken) => await unpooled.OpenConnectionAsync(cancellationToken);

    public override void ClearPool() => ((NpgsqlDataSource)DataSource).Clear();

    public override FaultOf Classify(Exception fault) => fault switch
    {
        PostgresException known when IsOfNode(known) => FaultOf.Node,

        // Its disk or memory is full, or it has too many sessions.
        PostgresException { SqlState: ['5', '3', ..] } => FaultOf.Database,

        PostgresException known when IsOfSession(known) => FaultOf.Session,

        // Nothing is known of others that would concern more than what was asked.
        PostgresException => FaultOf.Statement,

        // Where one connection broke, idle ones have too.
        NpgsqlException { InnerException: IOException or SocketException } => FaultOf.Session,
        _ => FaultOf.Database,
    };

    public override async Task AddServerErrorsAsync(ICollection<string> faults, CancellationToken cancellationToken)
    {
        await using var connection = await unpooled.OpenConnectionAsync(cancellationToken);
        if (await SharesSessionsAsync(connection, cancellationToken))
        {
            faults.Add("ConnectionStrings:Recognize leads through a pooler that gives each transaction another session (PgBouncer with pool_mode = transaction or statement): use pool_mode = session, or name the server itself.");
            return;
        }

        await using var command = connection.CreateCommand();
        command.CommandText = """
            SELECT current_setting('server_encoding'), current_setting('synchronous_commit'), pg_is_in_recovery(), current_setting('transaction_read_only')
            """;
        await using var server = await command.ExecuteReaderAsync(cancellationToken);
        await server.ReadAsync(cancellationToken);
        if (server.GetString(0) is not "UTF8" and var encoding)
        {
            faults.Add($"The database has the encoding {encoding}, which cannot store every text: create it with ENCODING 'UTF8' (and TEMPLATE template0).");
        }

        if (server.GetString(1) is "off")
        {
            faults.Add("The database has synchronous_commit = off, so that a crash of the server loses what was acknowledged: set it to on for this database or user.");
        }

        if (server.GetBoolean(2))
        {
            faults.Add("The server is a standby, which takes no writes: name the primary in ConnectionStrings:Recognize (of several hosts, Target Session Attributes=primary finds it).");
        }
        else if (server.GetString(3) is "on")
        {
            faults.Add("The database is read-only for this user (default_transaction_read_only): set it to off.");
        }
    }

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

    protected override async ValueTask DisposeConnectionsAsync()
    {
        await unpooled.DisposeAsync();
        await base.DisposeConnectionsAsync();
    }

    // A transaction of the session's is in the way or it was made read-only (25), it lost a statement that was prepared or has it twice (26000, 42P05), knows an
    // older table (0A000), or is at its end (08, 57P).
    private static bool IsOfSession(PostgresException fault) =>
        fault.SqlState is PostgresErrorCodes.InvalidSqlStatementName or PostgresErrorCodes.DuplicatePreparedStatement or PostgresErrorCodes.FeatureNotSupported
        || fault.SqlState[..2] is "25" or "08"
        || fault.SqlState.StartsWith("57P", StringComparison.Ordinal);

    private static bool IsOfNode(PostgresException fault) => fault.SqlState is PostgresErrorCodes.InsufficientPrivilege
        or PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification
        or PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedColumn or PostgresErrorCodes.InvalidSchemaName;

    // What is set for a session stays with it. A pooler that lends a session for one transaction lends the same one to the next client.
    private async Task<bool> SharesSessionsAsync(NpgsqlConnection connection, CancellationToken cancellationToken)
    {
        var mark = Guid.NewGuid().ToString("N");
        await SetMarkAsync(mark);
        await using var other = await unpooled.OpenConnectionAsync(cancellationToken);
        await using var command = other.CreateCommand();
        command.CommandText = "SELECT current_setting('recognize.session', true)";
        var seen = await command.ExecuteScalarAsync(cancellationToken) as string;
        await SetMarkAsync("");
        return seen == mark;

        async Task SetMarkAsync(string value)
        {
            await using var set = connection.CreateCommand();
            set.CommandText = $"SELECT set_config('recognize.session', '{value}', false)";
            await set.ExecuteNonQueryAsync(cancellationToken);
        }
    }

    private static string WithDefaults(string connectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);

        // The storage providers run a handful of statements; prepared on the server, they get about twice as many through.
        SetUnlessGiven("Max Auto Prepare", 50);

        // Orleans gives up a call after ten seconds. A server that does not answer must be known by then.
        SetUnlessGiven("Timeout", 5);
        SetUnlessGiven("Command Timeout", 10);

        // A connection that a firewall has forgotten is noticed while it is idle, not by the next request.
        SetUnlessGiven("Keepalive", 10);

        // Of several hosts the driver forgets soon that one was down or a standby: after a failover one of them is the primary.
        SetUnlessGiven("Host Recheck Seconds", 1);
        return builder.ConnectionString;

        void SetUnlessGiven(string keyword, int value)
        {
            if (!builder.ShouldSerialize(keyword))
            {
                builder[keyword] = value;
            }
        }
    }
}
