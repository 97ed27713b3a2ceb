using System.Data.Common;
using Microsoft.Data.SqlClient;
using Npgsql;

namespace Recognize.Orleans.Benchmarks;

/// <summary>The engines, by the names that the command line and the service know.</summary>
internal static class Engine
{
    public const string Sqlite = "sqlite";
    public const string PostgreSql = "postgresql";
    public const string SqlServer = "sqlserver";

    public static readonly IReadOnlyList<string> All = [Sqlite, PostgreSql, SqlServer];

    /// <summary>The variable that holds the connection string of an engine's server; null for the engine that needs none.</summary>
    public static string? VariableOf(string engine) => engine switch
    {
        PostgreSql => "RECOGNIZE_TEST_POSTGRESQL",
        SqlServer => "RECOGNIZE_TEST_SQLSERVER",
        _ => null,
    };

    public static bool IsThere(string engine) => VariableOf(engine) is null || ConnectionStringOf(engine).Length > 0;

    public static string ConnectionStringOf(string engine) => Environment.GetEnvironmentVariable(VariableOf(engine)!) ?? "";

    public static ArgumentOutOfRangeException Unknown(string engine) => new(nameof(engine), engine, "No such engine.");
}

/// <summary>A fresh, empty database. Disposing it removes it.</summary>
internal sealed class BenchmarkDatabase(string engine, string connectionString, DatabaseCpu? cpu, Func<Task> remove) : IAsyncDisposable
{
    public string Engine => engine;

    public string ConnectionString => connectionString;

    /// <summary>What the database's own processes have used; null when there are none or they cannot be seen.</summary>
    public DatabaseCpu? Cpu => cpu;

    public static Task<BenchmarkDatabase> CreateAsync(string engine, Options options, CancellationToken cancellationToken) => engine switch
    {
        Benchmarks.Engine.Sqlite => Task.FromResult(CreateSqlite(options.Directory)),
        Benchmarks.Engine.PostgreSql => CreatePostgreSqlAsync(Benchmarks.Engine.ConnectionStringOf(engine), cancellationToken),
        Benchmarks.Engine.SqlServer => CreateSqlServerAsync(Benchmarks.Engine.ConnectionStringOf(engine), cancellationToken),
        _ => throw Benchmarks.Engine.Unknown(engine),
    };

    /// <summary>Opens a connection of the benchmark's own, beside those of the server that is measured.</summary>
    public async Task<DbConnection> OpenAsync(CancellationToken cancellationToken)
    {
        DbConnection connection = engine switch
        {
            Benchmarks.Engine.Sqlite => new Microsoft.Data.Sqlite.SqliteConnection($"{connectionString};Pooling=False;Default Timeout=60"),
            Benchmarks.Engine.PostgreSql => new NpgsqlConnection($"{connectionString};Pooling=False;Command Timeout=600"),
            Benchmarks.Engine.SqlServer => new SqlConnection($"{connectionString};Pooling=False"),
            _ => throw Benchmarks.Engine.Unknown(engine),
        };
        await connection.OpenAsync(cancellationToken);
        return connection;
    }

    public async Task ExecuteAsync(string sql, CancellationToken cancellationToken)
    {
        await using var connection = await OpenAsync(cancellationToken);
        await ExecuteAsync(connection, sql, cancellationToken);
    }

    public async ValueTask DisposeAsync() => await remove();

    private static BenchmarkDatabase CreateSqlite(string directory)
    {
        var folder = Directory.CreateDirectory(Path.Combine(directory, Name()));
        return new(Benchmarks.Engine.Sqlite, $"Data Source={Path.Combine(folder.FullName, "bench.db")}", cpu: null, () =>
        {
            folder.Delete(recursive: true);
            return Task.CompletedTask;
        });
    }

    private static async Task<BenchmarkDatabase> CreatePostgreSqlAsync(string server, CancellationToken cancellationToken)
    {
        var name = Name();
        await OnServerAsync(new NpgsqlConnection(server), $"CREATE DATABASE {name}", cancellationToken);
        var database = new NpgsqlConnectionStringBuilder(server) { Database = name };
        return new(
            Benchmarks.Engine.PostgreSql,
            database.ConnectionString,
            await DatabaseCpu.OfPostgreSqlAsync(server, cancellationToken),
            () => OnServerAsync(new NpgsqlConnection(server), $"DROP DATABASE {name} WITH (FORCE)", CancellationToken.None));
    }

    private static async Task<BenchmarkDatabase> CreateSqlServerAsync(string server, CancellationToken cancellationToken)
    {
        var name = Name();
        await OnServerAsync(new SqlConnection(server), $"CREATE DATABASE {name}", cancellationToken);
        return new(
            Benchmarks.Engine.SqlServer,
            new SqlConnectionStringBuilder(server) { InitialCatalog = name }.ConnectionString,
            cpu: null,
            () => DropOnSqlServerAsync(server, name));
    }

    // The servers have ended and their sessions with them. Not every server that speaks T-SQL knows SINGLE_USER, for when one has not noticed yet.
    private static async Task DropOnSqlServerAsync(string server, string name)
    {
        try
        {
            await OnServerAsync(new SqlConnection(server), $"DROP DATABASE {name}", CancellationToken.None);
        }
        catch (BenchmarkException)
        {
            await OnServerAsync(new SqlConnection(server), $"ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE; DROP DATABASE {name}", CancellationToken.None);
        }
    }

    private static string Name() => $"recognize_bench_{Guid.NewGuid():N}";

    private static async Task OnServerAsync(DbConnection server, string sql, CancellationToken cancellationToken)
    {
        try
        {
            await using (server)
            {
                await server.OpenAsync(cancellationToken);
                await ExecuteAsync(server, sql, cancellationToken);
            }
        }
        catch (DbException fault)
        {
            throw new BenchmarkException($"The database server: {fault.Message}");
        }
    }

    // Every statement is made of this program's own names.
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA2100", Justification = "No part of the text comes from outside.")]
    private static async Task ExecuteAsync(DbConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}
