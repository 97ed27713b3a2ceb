using System.Data.Common;
using System.Globalization;
using DbUp;
using DbUp.Builder;
using DbUp.Engine;
using DbUp.Engine.Output;
using DbUp.Helpers;
using DbUp.Postgresql;
using DbUp.Sqlite.Helpers;
using Microsoft.Data.SqlClient;
using Npgsql;

namespace Recognize.Orleans.Storage;

/// <summary>
/// The tables, queries and view in <c>sql/</c>, brought into a database by the program. The scripts keep the book
/// themselves (table RecognizeSchema), so that one run by hand counts like one run here.
/// </summary>
internal static class Schema
{
    /// <summary>The schema that this program is written for: the highest number of the scripts in <c>sql/</c>.</summary>
    public const int Version = 4;

    // Any number, as long as nothing else that shares the database takes the same advisory lock.
    private const long PostgreSqlLock = 0x5265636F676E697A;
    private const string SqlServerLock = "Recognize.Orleans.Schema";

    // A script may rebuild an index over everything stored.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(30);

    /// <summary>
    /// Runs the scripts that the database does not have yet. Repeating it, several processes at once and a newer database
    /// are all harmless.
    /// </summary>
    /// <exception cref="InvalidOperationException">A script failed; the database is as it was before that script.</exception>
    public static async Task ApplyAsync(Database database, CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        await LockAsync(database.Engine, connection, cancellationToken);
        var applied = false;
        try
        {
            var (version, _) = await ReadAsync(database.Engine, connection, cancellationToken);
            var missing = Scripts(database.Engine).Where(script => script.Number > version).Select(script => script.Script).ToArray();
            if (missing.Length > 0)
            {
                // The library has no asynchronous calls.
                await Task.Run(() => Run(database, connection, missing), CancellationToken.None);
            }

            applied = true;
        }
        finally
        {
            await UnlockAsync(database.Engine, connection, applied);
        }
    }

    /// <summary>
    /// Creates the database itself when the server does not have it. An existing one needs no more rights than to connect
    /// to it. SQLite creates its file on the first use.
    /// </summary>
    public static async Task CreateDatabaseAsync(StorageEngine engine, string connectionString)
    {
        if (engine == StorageEngine.Sqlite || await ExistsAsync(engine, connectionString))
        {
            return;
        }

        try
        {
            await Task.Run(() => CreateDatabase(engine, connectionString));
        }
        catch (DbException)
        {
            // Another process may have created it in between.
            if (!await ExistsAsync(engine, connectionString))
            {
                throw;
            }
        }
    }

    /// <summary>Null when this program can work with the database, otherwise a sentence that tells an operator what to do.</summary>
    public static async Task<string?> CheckAsync(Database database, CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        var (version, oldestCompatible) = await ReadAsync(database.Engine, connection, cancellationToken);
        return (version, oldestCompatible) switch
        {
            (0, _) => "The database has no schema of this service yet: run this program once with the command 'apply-schema', or apply the scripts in sql/ by hand, then start again.",
            ( < Version, _) => $"The database has schema version {version} and this program needs version {Version}: run this program once with the command 'apply-schema', then start again.",
            (_, > Version) => $"The database has schema version {version}, which needs a program written for version {oldestCompatible} or later; this one is written for version {Version}: start a newer release.",
            _ => null,
        };
    }

    /// <summary>The scripts of an engine that the program carries, in the order of their numbers.</summary>
    internal static IReadOnlyList<(int Number, SqlScript Script)> Scripts(StorageEngine engine)
    {
        var assembly = typeof(Schema).Assembly;
        var folder = $"sql/{FolderOf(engine)}/";

        // The name of an embedded file has the separators of the machine that built it.
        return
        [
            .. from resource in assembly.GetManifestResourceNames()
               let name = resource.Replace('\\', '/')
               where name.StartsWith(folder, StringComparison.Ordinal)
               let number = int.Parse(name.AsSpan(folder.Length, 4), NumberStyles.None, CultureInfo.InvariantCulture)
               orderby number
               select (number, new SqlScript(name, TextOf(resource))),
        ];

        string TextOf(string resource)
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
            return reader.ReadToEnd();
        }
    }

    private static string FolderOf(StorageEngine engine) => engine switch
    {
        StorageEngine.Sqlite => "sqlite",
        StorageEngine.SqlServer => "sqlserver",
        StorageEngine.PostgreSql => "postgresql",
        _ => throw Database.Unknown(engine),
    };

    private static void Run(Database database, DbConnection locked, SqlScript[] scripts)
    {
        var builder = database.Engine switch
        {
            // The scripts run inside the exclusive transaction that is the lock: SQLite would let no other connection write.
            StorageEngine.Sqlite => DeployChanges.To.SqliteDatabase(new SharedConnection(locked)).WithoutTransaction(),
            StorageEngine.SqlServer => DeployChanges.To.SqlDatabase(() => (SqlConnection)database.DataSource.CreateConnection()).WithTransactionPerScript(),
            StorageEngine.PostgreSql => PostgreSqlBuilder((NpgsqlDataSource)database.DataSource).WithTransactionPerScript(),
            _ => throw Database.Unknown(database.Engine),
        };
        var result = builder
            .WithScripts(scripts)
            .JournalTo(new NullJournal())
            .WithVariablesDisabled()
            .WithExecutionTimeout(Patience)
            .LogToNowhere()
            .Build()
            .PerformUpgrade();
        if (!result.Successful)
        {
            throw new InvalidOperationException($"The script {result.ErrorScript?.Name} could not be applied: {result.Error.Message}", result.Error);
        }
    }

    private static UpgradeEngineBuilder PostgreSqlBuilder(NpgsqlDataSource dataSource) =>
        DeployChanges.To.PostgresqlDatabase(new PostgresqlConnectionManager(dataSource));

    private static Task LockAsync(StorageEngine engine, DbConnection connection, CancellationToken cancellationToken) => engine switch
    {
        StorageEngine.Sqlite => ExecuteAsync(connection, "BEGIN EXCLUSIVE", cancellationToken),
        StorageEngine.SqlServer => ExecuteAsync(
            connection,
            $"""
            DECLARE @Result INT;
            EXEC @Result = sp_getapplock @Resource = N'{SqlServerLock}', @LockMode = 'Exclusive', @LockOwner = 'Session', @LockTimeout = {(int)Patience.TotalMilliseconds};
            IF @Result < 0 THROW 50000, N'Another process holds the lock for schema changes.', 1;
            """,
            cancellationToken),
        StorageEngine.PostgreSql => ExecuteAsync(connection, $"SELECT pg_advisory_lock({PostgreSqlLock})", cancellationToken),
        _ => throw Database.Unknown(engine),
    };

    private static Task UnlockAsync(StorageEngine engine, DbConnection connection, bool applied) => engine switch
    {
        StorageEngine.Sqlite => ExecuteAsync(connection, applied ? "COMMIT" : "ROLLBACK", CancellationToken.None),
        StorageEngine.SqlServer => ExecuteAsync(connection, $"EXEC sp_releaseapplock @Resource = N'{SqlServerLock}', @LockOwner = 'Session';", CancellationToken.None),
        StorageEngine.PostgreSql => ExecuteAsync(connection, $"SELECT pg_advisory_unlock({PostgreSqlLock})", CancellationToken.None),
        _ => throw Database.Unknown(engine),
    };

    private static async Task<(int Version, int OldestCompatible)> ReadAsync(StorageEngine engine, DbConnection connection, CancellationToken cancellationToken)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = engine switch
        {
            StorageEngine.Sqlite => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'RecognizeSchema'",
            StorageEngine.SqlServer => "SELECT CASE WHEN OBJECT_ID(N'RecognizeSchema', N'U') IS NULL THEN 0 ELSE 1 END",
            StorageEngine.PostgreSql => "SELECT CASE WHEN to_regclass('recognizeschema') IS NULL THEN 0 ELSE 1 END",
            _ => throw Database.Unknown(engine),
        };
        if (Convert.ToInt32(await command.ExecuteScalarAsync(cancellationToken), CultureInfo.InvariantCulture) == 0)
        {
            return (0, 0);
        }

        command.CommandText = "SELECT Version, OldestCompatible FROM RecognizeSchema";
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken) ? (reader.GetInt32(0), reader.GetInt32(1)) : (0, 0);
    }

    private static async Task ExecuteAsync(DbConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.CommandTimeout = (int)Patience.TotalSeconds;
        await command.ExecuteNonQueryAsync(cancellationToken);
    }

    // Without the pool: SQL Server's driver remembers a failed login there and repeats it for seconds.
    private static async Task<bool> ExistsAsync(StorageEngine engine, string connectionString)
    {
        await using DbConnection connection = engine == StorageEngine.SqlServer
            ? new SqlConnection(new SqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString)
            : new NpgsqlConnection(new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false }.ConnectionString);
        try
        {
            await connection.OpenAsync();
            return true;
        }
        catch (DbException fault) when (MayMeanNoSuchDatabase(fault))
        {
            return false;
        }
    }

    // SQL Server answers a login to a missing database with several numbers; from class 20 on no server answered at all.
    private static bool MayMeanNoSuchDatabase(DbException fault) => fault switch
    {
        PostgresException { SqlState: PostgresErrorCodes.InvalidCatalogName } => true,
        SqlException { Class: < 20 } => true,
        _ => false,
    };

    private static void CreateDatabase(StorageEngine engine, string connectionString)
    {
        if (engine == StorageEngine.SqlServer)
        {
            EnsureDatabase.For.SqlDatabase(connectionString, new NoOpUpgradeLog());
        }
        else
        {
            EnsureDatabase.For.PostgresqlDatabase(connectionString, new NoOpUpgradeLog());
        }
    }
}
