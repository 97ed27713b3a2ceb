using System.Data;
using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using DbUp.Builder;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>One database: where its connections come from, and all in which its engine differs from the others.</summary>
internal abstract class Database(StorageEngine engine, DbDataSource dataSource) : IAsyncDisposable
{
    /// <summary>The least that a pool must hold: a look at the database, Orleans' membership, and one more.</summary>

    private int sessionGeneration;
    private int idleGeneration;

    public StorageEngine Engine { get; } = engine;

    public DbDataSource DataSource { get; } = dataSource;

    /// <summary>The name by which Orleans' ADO.NET providers know the engine.</summary>
    public abstract string Invariant { get; }

    /// <summary>Grows when no session that is open may be used any more.</summary>
    public int SessionGeneration => Volatile.Read(ref sessionGeneration);

    /// <summary>Grows when no connection may be used that was idle until now.</summary>
    public int IdleGeneration => Volatile.Read(ref idleGeneration);

    /// <summary>Lets whoever changes the schema wait for every other that does, for as long as <see cref="Schema.Patience"/>.</summary>
    public abstract string LockSchemaText { get; }

    /// <summary>Answers with one number, which is not zero when the database has the table RecognizeSchema.</summary>
    public abstract string HasSchemaText { get; }

    /// <summary>Answers with the database's own clock, in UTC, without an offset.</summary>
    protected abstract string ReadClockText { get; }

    /// <summary>The expression for a number that is not zero when the session can write nothing.</summary>
    protected abstract string IsReadOnlyText { get; }

    /// <summary>
    /// Makes the row of a service id in RecognizeCluster the cluster's, unless it belongs to another that has shown a sign of
    /// life within <see cref="Times.ClusterClaim"/>; answers with whose it is now, the newest stored time, and until when removals are held.
    /// </summary>
    protected abstract string ClaimText { get; }

    /// <summary>Comes before every statement: what a session needs and no connection string can say.</summary>
    protected virtual string SessionText => "";

    /// <summary>The type of a moment in UTC.</summary>
    protected virtual DbType TimeType => DbType.DateTime;

    /// <summary>Stores until when nothing may be removed.</summary>
    protected abstract string HoldSweepsText { get; }

    /// <summary>Shows a sign of life in the row of a service id, if it is the cluster's, and moves its newest time up.</summary>
    protected abstract string RenewClaimText { get; }

    /// <summary>Makes the data source; nothing is connected yet.</summary>
    /// <exception cref="ArgumentException">The connection string is malformed; <see cref="ConnectionStrings.ErrorIn"/> says so beforehand.</exception>
    public static Database Create(StorageEngine engine, string connectionString) => engine switch
    {
        StorageEngine.Sqlite => new SqliteDatabase(connectionString),
        StorageEngine.SqlServer => new SqlServerDatabase(connectionString),
        StorageEngine.PostgreSql => new PostgreSqlDatabase(connectionString),
        _ => throw Unknown(engine),
    };

    /// <summary>Adds a sentence for each property of the server, the database or the way to it that the service cannot work with. Nothing is changed.</summary>
    public abstract Task AddServerErrorsAsync(ICollection<string> faults, CancellationToken cancellationToken);

    /// <summary>A sentence for each right on the service's tables that this login lacks. No row is touched.</summary>
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
            catch (DbException fault) when (Classify(fault) is FaultOf.Node)
            {
                missing.Add($"The database login may not {right} on {table} ({fault.Message}): grant SELECT, INSERT, UPDATE and DELETE on the tables of sql/.");
            }
        }

        return missing;
    }

    /// <summary>The database's own clock, in UTC; an answer also shows that the database is there.</summary>
    public async Task<DateTimeOffset> ReadClockAsync(CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(connection, ReadClockText);
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        return Utc(reader, 0);
    }

    /// <summary>The database's clock, and what the database says of a silo and its cluster, in one look.</summary>
    /// <param name="serviceId">The service of the silo.</param>
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

    /// <summary>Claims a service id for a cluster, which the claim that is returned may deny.</summary>
    public async Task<ClusterClaim> ClaimAsync(string serviceId, string clusterId, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(connection, ClaimText, Id("@ServiceId", serviceId), Id("@ClusterId", clusterId));
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        return new(reader.GetString(0), Utc(reader, 1), await reader.IsDBNullAsync(2, cancellationToken) ? null : Utc(reader, 2));
    }

    /// <summary>Lets no start that comes after this one remove anything before a time.</summary>
    public async Task HoldSweepsAsync(string serviceId, DateTimeOffset until, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(connection, HoldSweepsText, Id("@ServiceId", serviceId), new("@Until", until.UtcDateTime, TimeType));
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>Keeps the claim of a cluster fresh, and with it the newest time that the service has used. A claim that was lost stays lost.</summary>
    public async Task RenewClaimAsync(string serviceId, string clusterId, DateTimeOffset newest, CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = CommandOf(connection, RenewClaimText, Id("@ServiceId", serviceId), Id("@ClusterId", clusterId), new("@Newest", newest.UtcDateTime, TimeType));
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    /// <summary>The table of grain state.</summary>
    /// <param name="serviceId">Whose rows.</param>
    /// <param name="silo">Who writes, where more than one may.</param>
    /// <param name="clock">Tells how long a connection was idle.</param>
    public abstract IRowStore CreateRowStore(string serviceId, SiloIdentity? silo, TimeProvider clock);

    /// <summary>Opens a connection outside of the pool: closing it ends its session.</summary>
    public abstract Task<DbConnection> OpenHeldAsync(CancellationToken cancellationToken);

    /// <summary>Whose fault an exception of the driver tells of.</summary>
    public abstract FaultOf Classify(Exception fault);

    /// <summary>Lets no statement meet a session that is open now; each ends when whoever uses it is done.</summary>
    public void DropSessions()
    {
        Interlocked.Increment(ref sessionGeneration);
        ClearPool();
    }

    /// <summary>Gives up every connection that nobody uses, because one of them was found dead. Those in use have shown that they live.</summary>
    public void DropIdle()
    {
        Interlocked.Increment(ref idleGeneration);
        ClearPool();
    }

    /// <summary>Refuses what was read from or written to a database that nobody will find again.</summary>
    /// <exception cref="IOException">The file is not at its path any more.</exception>
    public virtual void ThrowIfLost()
    {
    }

    /// <summary>Closes the pool's idle connections now, and those in use when they come back.</summary>
    public abstract void ClearPool();

    /// <summary>A query for the first <c>@count</c> rows of a table, which an index must find.</summary>
    /// <param name="columns">Its columns.</param>
    /// <param name="table">The table.</param>
    /// <param name="rows">The rest of it, from WHERE to ORDER BY.</param>
    public virtual string FirstText(string columns, string table, string rows) => $"SELECT {columns} FROM {table} {rows} LIMIT @count";

    /// <summary>A statement with its values.</summary>
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

    /// <summary>Whether the server has the database itself.</summary>
    public abstract Task<bool> ExistsAsync();

    /// <summary>Creates the database itself; it fails when another process has created it in between.</summary>
    public abstract void CreateOnServer();

    /// <summary>Lets go of the lock; where it is a transaction, the scripts count only when they were all applied.</summary>
    public abstract string UnlockSchemaText(bool applied);

    /// <summary>How the migration library runs scripts while a connection holds the lock: each script in a transaction, whoever begins it.</summary>
    public abstract UpgradeEngineBuilder MigrationUnder(DbConnection locked);

    public ValueTask DisposeAsync() => DisposeConnectionsAsync();

    protected virtual ValueTask DisposeConnectionsAsync() => DataSource.DisposeAsync();

    [SuppressMessage("Usage", "CA2208", Justification = "The engine is a setting, validated at the start; an unknown one is a fault of this program.")]
    internal static ArgumentOutOfRangeException Unknown(StorageEngine engine) => new(nameof(engine), engine, "No such storage engine.");

    // A server looks at the rights before it looks for rows.
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

/// <summary>A value of a statement.</summary>
/// <param name="Name">Its parameter.</param>
/// <param name="Value">The value.</param>
/// <param name="Type">The column's type.</param>
/// <param name="Size">The column's size. It belongs to the statement and not to the value, because SQL Server makes a plan for each size.</param>
internal readonly record struct StatementValue(string Name, object Value, DbType Type, int Size = 0);

/// <summary>What the database says of a silo.</summary>
/// <param name="Now">The database's clock.</param>
/// <param name="Status">The silo's own in the membership table; null without a row there.</param>
/// <param name="ClusterId">The cluster that has claimed the service; null when nobody has.</param>
/// <param name="IsReadOnly">Whether nothing can be written: the server is a standby, or was told so.</param>
internal sealed record DatabaseStatus(DateTimeOffset Now, SiloStatus? Status, string? ClusterId, bool IsReadOnly);

/// <summary>Whose fault it is that the database did not do what it was asked.</summary>
internal enum FaultOf
{
    /// <summary>The statement's: another one may well succeed.</summary>
    Statement,

    /// <summary>The database's, or of the way to it: every node meets it.</summary>
    Database,

    /// <summary>Like <see cref="Database"/>, and the sessions that are open now keep it when the database is well again.</summary>
    Session,

    /// <summary>This node's: its rights, its schema, its file.</summary>
    Node,
}

/// <summary>What came of a claim.</summary>
/// <param name="ClusterId">The cluster that the service id belongs to now.</param>
/// <param name="Newest">The newest time that the database knows of.</param>
/// <param name="SweepsFrom">Before this time nothing may be removed; null: that is not held.</param>
internal sealed record ClusterClaim(string ClusterId, DateTimeOffset Newest, DateTimeOffset? SweepsFrom);
