using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using DbUp.Builder;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage.PostgreSql;
using Recognize.Orleans.Storage.Sqlite;
using Recognize.Orleans.Storage.SqlServer;

namespace Recognize.Orleans.Storage;

/// <summary>One database: its connections, and everything in which its engine differs from the others.</summary>
internal abstract class Database(StorageEngine engine, DbDataSource dataSource) : IAsyncDisposable
{
    private int sessionGeneration;
    private int idleGeneration;

    public StorageEngine Engine { get; } = engine;

    public DbDataSource DataSource { get; } = dataSource;

    /// <summary>The name by which Orleans' ADO.NET providers know the engine.</summary>
    public abstract string Invariant { get; }

    /// <summary>Increases when no session that is open now may be used again.</summary>
    public int SessionGeneration => Volatile.Read(ref sessionGeneration);

    /// <summary>Increases when no connection that is idle now may be used again.</summary>
    public int IdleGeneration => Volatile.Read(ref idleGeneration);

    /// <summary>
    /// Takes the lock for schema changes. It waits up to <see cref="Schema.Patience"/> for another process that holds
    /// it.
    /// </summary>
    public abstract string LockSchemaText { get; }

    /// <summary>Returns one number, which is not zero if the database has the table RecognizeSchema.</summary>
    public abstract string HasSchemaText { get; }

    /// <summary>Returns the database's own clock, in UTC, without an offset.</summary>
    protected abstract string ReadClockText { get; }

    /// <summary>The expression for a number that is not zero if the session cannot write.</summary>
    protected abstract string IsReadOnlyText { get; }

    /// <summary>
    /// Claims the row of a service id in RecognizeCluster for the cluster, unless it belongs to another cluster that
    /// sent a heartbeat within <see cref="Times.ClusterClaim"/>. Returns the cluster that owns it now, the newest
    /// stored time, and the time before which nothing may be removed.
    /// </summary>
    protected abstract string ClaimText { get; }

    /// <summary>Precedes every statement: settings of the session that no connection string can express.</summary>
    protected virtual string SessionText => "";

    /// <summary>The expression for the database's clock, as the tables hold times.</summary>
    protected abstract string NowText { get; }

    /// <summary>Creates the data source without connecting.</summary>
    /// <exception cref="ArgumentException">
    /// The connection string is malformed. <see cref="ConnectionStrings.ErrorIn"/> detects that beforehand.
    /// </exception>
    public static Database Create(StorageEngine engine, string connectionString) => engine switch
    {
        StorageEngine.Sqlite => new SqliteDatabase(connectionString),
        StorageEngine.SqlServer => new SqlServerDatabase(connectionString),
        StorageEngine.PostgreSql => new PostgreSqlDatabase(connectionString),
        _ => throw Unknown(engine),
    };

    /// <summary>
    /// Adds a sentence for each property of the server, the database or the connection that the service cannot work
    /// with. Changes nothing.
    /// </summary>
    public abstract Task AddServerErrorsAsync(ICollection<string> faults, CancellationToken cancellationToken);

    /// <summary>
    /// A sentence for each right that this login lacks on the tables of the service. No row is touched.
    /// </summary>
    public virtual async Task<IReadOnlyCollection<string>> MissingRightsAsync(CancellationToken cancellationToken)
    {
        var missing = new List<string>();
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        foreach (var (right, table, statement) in Rights)
        {
            await using var command = CommandOf(connection, statement);
            try
            {
                await command.ExecuteNonQueryAsync(cancellationToken);
            }
            catch (DbException fault) when (Classify(fault) is FaultScope.Node)
            {
                missing.Add($"The database login may not {right} on {table} ({fault.Message}): grant SELECT, INSERT, UPDATE and DELETE on the tables of sql/.");
            }
        }

        return missing;
    }

    /// <summary>The database's own clock, in UTC. An answer also shows that the database can be reached.</summary>
    public async Task<DateTimeOffset> ReadClockAsync(CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(connection, ReadClockText);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        return Utc(reader, 0);
    }

    /// <summary>
    /// Reads the database's clock and what the database says about a silo and its cluster, in one round trip.
    /// </summary>
    /// <param name="serviceId">The silo's service.</param>
    /// <param name="silo">The silo that asks.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public virtual async Task<DatabaseStatus> LookAsync(string serviceId, SiloIdentity silo, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(
            connection,
            $"""
            {ReadClockText},
                (SELECT Status FROM OrleansMembershipTable WHERE DeploymentId = @ClusterId AND Address = @Address AND Port = @Port AND Generation = @Generation),
                (SELECT ClusterId FROM RecognizeCluster WHERE ServiceId = @ServiceId),
                {IsReadOnlyText}
            """,
            Id("@ServiceId", serviceId),
            Id("@ClusterId", silo.ClusterId),
            new("@Address", silo.Address, DbType.AnsiString, 45),
            new("@Port", silo.Port, DbType.Int32),
            new("@Generation", silo.Generation, DbType.Int32));
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        return new(
            Utc(reader, 0),
            await reader.IsDBNullAsync(1, cancellationToken) ? null : (SiloStatus)reader.GetInt32(1),
            await reader.IsDBNullAsync(2, cancellationToken) ? null : reader.GetString(2),
            reader.GetInt32(3) != 0);
    }

    /// <summary>
    /// Tries to claim a service id for a cluster. The returned claim names the cluster that owns the service id.
    /// </summary>
    public async Task<ClaimResult> ClaimAsync(string serviceId, string clusterId, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(connection, ClaimText, Id("@ServiceId", serviceId), Id("@ClusterId", clusterId));
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        return new(reader.GetString(0), Utc(reader, 1), await reader.IsDBNullAsync(2, cancellationToken) ? null : Utc(reader, 2));
    }

    /// <summary>Stores a time before which no later start of the service removes anything.</summary>
    public async Task HoldSweepsAsync(string serviceId, DateTimeOffset until, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(connection, "UPDATE RecognizeCluster SET SweepsFrom = @Until WHERE ServiceId = @ServiceId", Id("@ServiceId", serviceId), Time("@Until", until));
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>
    /// Renews a cluster's claim and stores the newest time that the service has used. A lost claim stays lost.
    /// </summary>
    public async Task RenewClaimAsync(string serviceId, string clusterId, DateTimeOffset newest, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(
            connection,
            $"""
            UPDATE RecognizeCluster SET ClaimedAt = {NowText}, NewestTime = CASE WHEN NewestTime < @Newest THEN @Newest ELSE NewestTime END
            WHERE ServiceId = @ServiceId AND ClusterId = @ClusterId
            """,
            Id("@ServiceId", serviceId),
            Id("@ClusterId", clusterId),
            Time("@Newest", newest));
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>Counts the rows of a service between two keys of an index, by reading all of that range.</summary>
    public async Task<long> CountAsync(string serviceId, RowIndex index, string after, string before, CancellationToken cancellationToken)
    {
        var column = new RangeKind(index).Column;
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(
            connection,
            $"SELECT COUNT(*) FROM OrleansStorage WHERE ServiceId = @ServiceId AND {column} > @After AND {column} < @Before",
            Id("@ServiceId", serviceId),
            new("@After", after, DbType.AnsiString, 220),
            new("@Before", before, DbType.AnsiString, 220));
        return Convert.ToInt64(await command.ExecuteScalarAsync(cancellationToken), CultureInfo.InvariantCulture);
    }

    /// <summary>Creates the row store.</summary>
    /// <param name="serviceId">The service that owns the rows.</param>
    /// <param name="silo">
    /// The silo that writes. The database checks its membership, except on SQLite; null: no check.
    /// </param>
    /// <param name="clock">Measures how long a connection was idle.</param>
    public abstract IRowStore CreateRowStore(string serviceId, SiloIdentity? silo, TimeProvider clock);

    /// <summary>Opens a connection outside the pool, so that closing it ends its session.</summary>
    public abstract Task<DbConnection> OpenHeldAsync(CancellationToken cancellationToken);

    /// <summary>What a fault affects, according to an exception of the driver.</summary>
    public abstract FaultScope Classify(Exception fault);

    /// <summary>
    /// Gives up every session that is open now: no new statement uses one, and a session in use ends when its user is
    /// done.
    /// </summary>
    public void DropSessions()
    {
        Interlocked.Increment(ref sessionGeneration);
        ClearPool();
    }

    /// <summary>
    /// Gives up every idle connection, because one of them was found dead. Connections in use have shown that they are
    /// alive.
    /// </summary>
    public void DropIdle()
    {
        Interlocked.Increment(ref idleGeneration);
        ClearPool();
    }

    /// <summary>
    /// Throws if the database file is gone from its path: whatever was read from it or written to it will not be found
    /// again.
    /// </summary>
    /// <exception cref="IOException">The file is no longer at its path.</exception>
    public virtual void ThrowIfLost()
    {
    }

    /// <summary>Closes the pool's idle connections now, and the ones in use when they are returned.</summary>
    public abstract void ClearPool();

    /// <summary>A command for a statement and its parameters.</summary>
    [SuppressMessage("Security", "CA2100", Justification = "The texts are constants; values are parameters.")]
    public DbCommand CommandOf(DbConnection connection, string text, params ReadOnlySpan<StatementValue> values)
    {
        var command = connection.CreateCommand();
        command.CommandText = SessionText + text;
        foreach (var value in values)
        {
            var parameter = command.CreateParameter();
            (parameter.ParameterName, parameter.Value, parameter.DbType) = (value.Name, value.Value, value.Type);
            if (value.Size > 0)
            {
                parameter.Size = value.Size;
            }

            command.Parameters.Add(parameter);
        }

        return command;
    }

    /// <summary>Whether the database itself exists on the server.</summary>
    public abstract Task<bool> ExistsAsync();

    /// <summary>Creates the database itself. Fails if another process has created it in the meantime.</summary>
    public abstract void CreateOnServer();

    /// <summary>
    /// Releases the lock for schema changes. If the lock is a transaction, it commits only if all scripts were applied.
    /// </summary>
    public abstract string UnlockSchemaText(bool applied);

    /// <summary>
    /// How the migration library runs scripts while a connection holds the lock. Each script runs in a transaction,
    /// begun by the library or by the lock.
    /// </summary>
    public abstract UpgradeEngineBuilder MigrationUnder(DbConnection locked);

    public ValueTask DisposeAsync() => DisposeConnectionsAsync();

    /// <summary>A time as a parameter.</summary>
    protected virtual StatementValue Time(string name, DateTimeOffset time) => new(name, time.UtcDateTime, DbType.DateTime);

    protected virtual ValueTask DisposeConnectionsAsync() => DataSource.DisposeAsync();

    [SuppressMessage("Usage", "CA2208", Justification = "The engine is a setting, validated at the start; an unknown one is a fault of this program.")]
    internal static ArgumentOutOfRangeException Unknown(StorageEngine engine) => new(nameof(engine), engine, "No such storage engine.");

    // These statements match no row. A server still checks their rights, because it does so before it looks for rows.
    private static IEnumerable<(string Right, string Table, string Statement)> Rights =>
    [
        ("SELECT", "OrleansQuery", "SELECT QueryKey FROM OrleansQuery WHERE 1 = 0"),
        .. from table in new[] { (Name: "OrleansStorage", Column: "ServiceId"), (Name: "RecognizeCluster", Column: "ServiceId"), (Name: "OrleansMembershipTable", Column: "DeploymentId"), (Name: "OrleansMembershipVersionTable", Column: "DeploymentId") }
           from right in new[]
           {
               (Name: "SELECT", Text: $"SELECT {table.Column} FROM {table.Name} WHERE 1 = 0"),
               (Name: "INSERT", Text: $"INSERT INTO {table.Name} ({table.Column}) SELECT '' WHERE 1 = 0"),
               (Name: "UPDATE", Text: $"UPDATE {table.Name} SET {table.Column} = '' WHERE 1 = 0"),
               (Name: "DELETE", Text: $"DELETE FROM {table.Name} WHERE 1 = 0"),
           }
           select (right.Name, table.Name, right.Text),
    ];

    private static DateTimeOffset Utc(DbDataReader reader, int column) => new(DateTime.SpecifyKind(reader.GetDateTime(column), DateTimeKind.Unspecified), TimeSpan.Zero);

    private static StatementValue Id(string name, string value) => new(name, value, DbType.String, 150);
}

/// <summary>A parameter of a statement.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Value">The value.</param>
/// <param name="Type">The column's type.</param>
/// <param name="Size">
/// The column's size. It depends on the statement and not on the value, because SQL Server makes a plan for each size.
/// </param>
internal readonly record struct StatementValue(string Name, object Value, DbType Type, int Size = 0);

/// <summary>What the database says about a silo and its cluster.</summary>
/// <param name="Now">The database's clock.</param>
/// <param name="Status">The silo's status in the membership table; null: it has no row there.</param>
/// <param name="ClusterId">The cluster that has claimed the service; null: none has.</param>
/// <param name="IsReadOnly">
/// Whether nothing can be written, because the server is a standby or was set to read-only.
/// </param>
internal sealed record DatabaseStatus(DateTimeOffset Now, SiloStatus? Status, string? ClusterId, bool IsReadOnly);

/// <summary>What a fault of the database affects.</summary>
internal enum FaultScope
{
    /// <summary>The statement only: another one may succeed.</summary>
    Statement,

    /// <summary>The database or the connection to it: every node meets the fault.</summary>
    Database,

    /// <summary>
    /// Like <see cref="Database"/>, but the sessions that are open now stay broken after the database has recovered.
    /// </summary>
    Session,

    /// <summary>This node only: its rights, its schema or its file.</summary>
    Node,
}

/// <summary>The result of a claim.</summary>
/// <param name="ClusterId">The cluster that owns the service id now.</param>
/// <param name="Newest">The newest time that the database knows of.</param>
/// <param name="SweepsFrom">Before this time nothing may be removed; null: there is no such limit.</param>
internal sealed record ClaimResult(string ClusterId, DateTimeOffset Newest, DateTimeOffset? SweepsFrom);
