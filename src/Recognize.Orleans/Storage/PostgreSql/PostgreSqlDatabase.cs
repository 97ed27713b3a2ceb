using System.Data.Common;
using System.Net.Sockets;
using DbUp;
using DbUp.Builder;
using DbUp.Engine.Output;
using DbUp.Postgresql;
using Npgsql;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage.PostgreSql;

/// <summary>A database on a PostgreSQL server.</summary>
internal sealed class PostgreSqlDatabase(string connectionString)
    : Database(StorageEngine.PostgreSql, NamedSource(WithDefaults(connectionString)))
{
    // The number is arbitrary, but nothing else that shares the database may take the same advisory lock.
    private const long SchemaLock = 0x5265636F676E697A;

    // Kept because the data source does not reveal its password.
    private readonly string connectionString = connectionString;

    // A statement that times out ends its connection at once, without waiting for the server to confirm the
    // cancellation.
    private readonly NpgsqlDataSource unpooled = NamedSource(
        new NpgsqlConnectionStringBuilder(WithDefaults(connectionString)) { Pooling = false, CancellationTimeout = -1 }.ConnectionString);

    // Without a name the driver's metrics would tell the connection string.
    private static NpgsqlDataSource NamedSource(string connectionString) => new NpgsqlDataSourceBuilder(connectionString) { Name = "recognize" }.Build();

    public override string Invariant => "Npgsql";

    public override string LockSchemaText => $"SELECT pg_advisory_lock({SchemaLock})";

    public override string HasSchemaText => "SELECT CASE WHEN to_regclass('recognizeschema') IS NULL THEN 0 ELSE 1 END";

    protected override string ReadClockText => "SELECT clock_timestamp() AT TIME ZONE 'UTC'";

    protected override string NowText => "clock_timestamp()";

    protected override string IsReadOnlyText => "CASE current_setting('transaction_read_only') WHEN 'on' THEN 1 ELSE 0 END";

    // If two clusters take over at once, the second waits for the first one's row, looks at it again and finds it
    // fresh.
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

    public override IRowStore CreateRowStore(string serviceId, SiloIdentity? silo, TimeProvider clock) => new PostgreSqlRowStore(this, serviceId, silo, clock);

    public override async Task<DbConnection> OpenHeldAsync(CancellationToken cancellationToken) => await unpooled.OpenConnectionAsync(cancellationToken);

    public override void ClearPool() => ((NpgsqlDataSource)DataSource).Clear();

    public override FaultScope Classify(Exception fault) => fault switch
    {
        PostgresException known when IsOfNode(known) => FaultScope.Node,

        // The disk or memory is full, or there are too many sessions.
        PostgresException { SqlState: ['5', '3', ..] } => FaultScope.Database,

        PostgresException known when IsOfSession(known) => FaultScope.Session,

        // Other errors are not known to affect more than the statement.
        PostgresException => FaultScope.Statement,

        // If one connection broke, the idle ones have broken too.
        NpgsqlException { InnerException: IOException or SocketException } => FaultScope.Session,
        _ => FaultScope.Database,
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

    // The session has a transaction in the way or was made read-only (25), lost a prepared statement or has it twice
    // (26000, 42P05), knows an older table (0A000), or is ending (08, 57P).
    private static bool IsOfSession(PostgresException fault) =>
        fault.SqlState is PostgresErrorCodes.InvalidSqlStatementName or PostgresErrorCodes.DuplicatePreparedStatement or PostgresErrorCodes.FeatureNotSupported
        || fault.SqlState[..2] is "25" or "08"
        || fault.SqlState.StartsWith("57P", StringComparison.Ordinal);

    private static bool IsOfNode(PostgresException fault) => fault.SqlState is PostgresErrorCodes.InsufficientPrivilege
        or PostgresErrorCodes.InvalidPassword or PostgresErrorCodes.InvalidAuthorizationSpecification
        or PostgresErrorCodes.UndefinedTable or PostgresErrorCodes.UndefinedColumn or PostgresErrorCodes.InvalidSchemaName;

    // A setting stays with its session. A pooler that lends a session for one transaction lends the same session to the
    // next client, which then sees the setting.
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

        // The storage providers run few distinct statements. Prepared on the server, they have about twice the
        // throughput.
        SetUnlessGiven("Max Auto Prepare", 50);

        // Orleans gives up a call after ten seconds. A server that does not answer must be noticed by then.
        SetUnlessGiven("Timeout", 5);
        SetUnlessGiven("Command Timeout", 10);

        // A connection that a firewall has dropped is noticed while it is idle, not by the next request.
        SetUnlessGiven("Keepalive", 10);

        // With several hosts, the driver must soon forget that one was down or a standby: after a failover it may be
        // the primary.
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
