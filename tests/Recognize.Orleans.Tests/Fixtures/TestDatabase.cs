using System.Data.Common;
using System.Globalization;
using Microsoft.Data.SqlClient;
using Npgsql;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>A database of its own for one test or one class of tests, gone with everything in it when disposed.</summary>
internal abstract class TestDatabase(StorageEngine engine, string connectionString) : IAsyncDisposable
{
    private const string PostgreSqlVariable = "RECOGNIZE_TEST_POSTGRESQL";
    private const string SqlServerVariable = "RECOGNIZE_TEST_SQLSERVER";

    public StorageEngine Engine { get; } = engine;

    public string ConnectionString { get; } = connectionString;

    /// <summary>Why tests on an engine cannot run here, as a sentence for the one who reads the skipped tests; null when they can.</summary>
    public static string? WhyUnavailable(StorageEngine engine) => engine switch
    {
        StorageEngine.PostgreSql when Server(PostgreSqlVariable) is null =>
            $"Set {PostgreSqlVariable} to the connection string of a PostgreSQL server where the user may create databases to run this test.",
        StorageEngine.SqlServer when Server(SqlServerVariable) is null =>
            $"Set {SqlServerVariable} to the connection string of a SQL Server where the login may create databases to run this test.",
        _ => null,
    };

    /// <summary>Creates an empty database, and its schema unless told not to; skips the test when the engine is not there.</summary>
    /// <param name="engine">On which engine.</param>
    /// <param name="applySchema">Whether it gets the service's tables.</param>
    /// <param name="options">What follows CREATE DATABASE on PostgreSQL.</param>
    public static async Task<TestDatabase> CreateAsync(StorageEngine engine, bool applySchema = true, string options = "")
    {
        Skip.If(WhyUnavailable(engine) is not null, WhyUnavailable(engine));
        var name = $"recognize_test_{Guid.NewGuid():N}";
        TestDatabase created = engine switch
        {
            StorageEngine.Sqlite => new SqliteFile(Path.Combine(Path.GetTempPath(), name)),
            StorageEngine.PostgreSql => await PostgreSqlDatabase.CreateAsync(Server(PostgreSqlVariable)!, name, options),
            StorageEngine.SqlServer => await SqlServerDatabase.CreateAsync(Server(SqlServerVariable)!, name),
            _ => throw new ArgumentOutOfRangeException(nameof(engine), engine, "No such storage engine."),
        };
        if (applySchema)
        {
            await using var database = created.Open();
            await Schema.ApplyAsync(database, CancellationToken.None);
        }

        return created;
    }

    /// <summary>A new set of connections to this database; the caller disposes it.</summary>
    public Database Open() => Database.Create(Engine, ConnectionString);

    /// <summary>The same database by another way; it stays when this is disposed.</summary>
    public TestDatabase At(string otherConnectionString) => new Borrowed(Engine, otherConnectionString);

    /// <summary>Changes a setting of a PostgreSQL database for the sessions that begin after this.</summary>
    public async Task SetAsync(string setting)
    {
        var builder = new NpgsqlConnectionStringBuilder(ConnectionString) { Pooling = false };
        var name = builder.Database;
        builder.Database = "postgres";
        await ExecuteOnServerAsync(new NpgsqlConnection(builder.ConnectionString), $"ALTER DATABASE {name} SET {setting}");
    }

    /// <summary>Runs one statement, with parameters named as in the statement.</summary>
    public async Task ExecuteAsync(string sql, params (string Name, object Value)[] parameters)
    {
        await using var database = Open();
        await using var connection = await database.DataSource.OpenConnectionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        foreach (var (name, value) in parameters)
        {
            var parameter = command.CreateParameter();
            (parameter.ParameterName, parameter.Value) = (name, value);
            command.Parameters.Add(parameter);
        }

        await command.ExecuteNonQueryAsync();
    }

    /// <summary>Runs statements one after the other on one connection, to the end or to the first that fails.</summary>
    /// <returns>What went wrong.</returns>
    public async Task<IReadOnlyList<DbException>> ExecuteInOrderAsync(IEnumerable<string> statements, bool goesOnAfterErrors)
    {
        await using var database = Open();
        await using var connection = await database.DataSource.OpenConnectionAsync();
        var faults = new List<DbException>();
        foreach (var statement in statements.TakeWhile(_ => goesOnAfterErrors || faults.Count == 0))
        {
            await using var command = connection.CreateCommand();
            command.CommandText = statement;
            try
            {
                await command.ExecuteNonQueryAsync();
            }
            catch (DbException fault)
            {
                faults.Add(fault);
            }
        }

        return faults;
    }

    /// <summary>The rows of a query, each by column name (in any case).</summary>
    public async Task<IReadOnlyList<IReadOnlyDictionary<string, object?>>> QueryAsync(string sql)
    {
        await using var database = Open();
        await using var connection = await database.DataSource.OpenConnectionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await using var reader = await command.ExecuteReaderAsync();
        var rows = new List<IReadOnlyDictionary<string, object?>>();
        while (await reader.ReadAsync())
        {
            rows.Add(Enumerable.Range(0, reader.FieldCount).ToDictionary(
                reader.GetName,
                column => reader.IsDBNull(column) ? null : reader.GetValue(column),
                StringComparer.OrdinalIgnoreCase));
        }

        return rows;
    }

    /// <summary>The version of every row of grain state, by the key of its grain.</summary>
    public async Task<IReadOnlyDictionary<string, int>> VersionsAsync() =>
        (await QueryAsync("SELECT GrainIdExtensionString AS GrainKey, Version FROM OrleansStorage")).ToDictionary(
            row => (string)row["GrainKey"]!,
            row => Convert.ToInt32(row["Version"], CultureInfo.InvariantCulture),
            StringComparer.Ordinal);

    /// <summary>Lets every write of grain state wait until the lock is disposed.</summary>
    public async Task<IAsyncDisposable> LockRowsAsync()
    {
        var held = new HeldLock(Open());
        await held.RunAsync(Engine switch
        {
            StorageEngine.Sqlite => "BEGIN IMMEDIATE",
            StorageEngine.PostgreSql => "BEGIN; LOCK TABLE OrleansStorage IN SHARE ROW EXCLUSIVE MODE",
            StorageEngine.SqlServer => "BEGIN TRANSACTION; UPDATE OrleansStorage WITH (TABLOCKX) SET Version = Version",
            _ => throw Database.Unknown(Engine),
        });
        return held;
    }

    public abstract ValueTask DisposeAsync();

    private static string? Server(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } connectionString ? connectionString : null;

    private static async Task ExecuteOnServerAsync(DbConnection connection, params string[] statements)
    {
        await using (connection)
        {
            await connection.OpenAsync();
            foreach (var statement in statements)
            {
                await using var command = connection.CreateCommand();
                command.CommandText = statement;
                command.CommandTimeout = 120;
                await command.ExecuteNonQueryAsync();
            }
        }
    }

    private sealed class HeldLock(Database database) : IAsyncDisposable
    {
        private readonly DbConnection connection = database.DataSource.CreateConnection();

        public async Task RunAsync(string sql)
        {
            await connection.OpenAsync();
            await ExecuteAsync(sql);
        }

        public async ValueTask DisposeAsync()
        {
            await ExecuteAsync("ROLLBACK");
            await connection.DisposeAsync();
            await database.DisposeAsync();
        }

        private async Task ExecuteAsync(string sql)
        {
            await using var command = connection.CreateCommand();
            command.CommandText = sql;
            await command.ExecuteNonQueryAsync();
        }
    }

    private sealed class Borrowed(StorageEngine engine, string connectionString) : TestDatabase(engine, connectionString)
    {
        public override ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class SqliteFile(string folder) : TestDatabase(StorageEngine.Sqlite, $"Data Source={Created(folder)}")
    {
        public override ValueTask DisposeAsync()
        {
            Directory.Delete(folder, recursive: true);
            return ValueTask.CompletedTask;
        }

        private static string Created(string folder) => Path.Combine(Directory.CreateDirectory(folder).FullName, "recognize.db");
    }

    private sealed class PostgreSqlDatabase(string server, string name)
        : TestDatabase(StorageEngine.PostgreSql, new NpgsqlConnectionStringBuilder(server) { Database = name }.ConnectionString)
    {
        public static async Task<TestDatabase> CreateAsync(string server, string name, string options)
        {
            await ExecuteOnServerAsync(OnServer(server), $"CREATE DATABASE {name} {options}");
            return new PostgreSqlDatabase(server, name);
        }

        public override async ValueTask DisposeAsync() =>
            await ExecuteOnServerAsync(OnServer(server), $"DROP DATABASE IF EXISTS {name} WITH (FORCE)");

        private static NpgsqlConnection OnServer(string server) =>
            new(new NpgsqlConnectionStringBuilder(server) { Pooling = false }.ConnectionString);
    }

    private sealed class SqlServerDatabase(string server, string name)
        : TestDatabase(StorageEngine.SqlServer, new SqlConnectionStringBuilder(server) { InitialCatalog = name }.ConnectionString)
    {
        private const int DropAttempts = 10;

        public static async Task<TestDatabase> CreateAsync(string server, string name)
        {
            await ExecuteOnServerAsync(OnServer(server), $"CREATE DATABASE {name}");
            return new SqlServerDatabase(server, name);
        }

        public override async ValueTask DisposeAsync()
        {
            foreach (var attempt in Enumerable.Range(1, DropAttempts))
            {
                try
                {
                    await ExecuteOnServerAsync(OnServer(server), $"DROP DATABASE {name}");
                    return;
                }
                catch (SqlException) when (attempt < DropAttempts)
                {
                    // A test that ended a process leaves sessions behind, and a server notices that late. Not every one knows SET SINGLE_USER.
                    await EndSessionsAsync();
                }
            }
        }

        // One that has ended by itself meanwhile is not there to be ended.
        private async Task EndSessionsAsync()
        {
            await using var connection = OnServer(server);
            await connection.OpenAsync();
            var sessions = new List<short>();
            await using (var command = connection.CreateCommand())
            {
                command.CommandText = $"SELECT CAST(session_id AS SMALLINT) FROM sys.dm_exec_sessions WHERE database_id = DB_ID(N'{name}') AND session_id <> @@SPID";
                await using var reader = await command.ExecuteReaderAsync();
                while (await reader.ReadAsync())
                {
                    sessions.Add(reader.GetInt16(0));
                }
            }

            foreach (var session in sessions)
            {
                await Record.ExceptionAsync(() => ExecuteOnServerAsync(OnServer(server), $"KILL {session}"));
            }
        }

        private static SqlConnection OnServer(string server) =>
            new(new SqlConnectionStringBuilder(server) { Pooling = false }.ConnectionString);
    }
}
