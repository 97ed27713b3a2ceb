using Npgsql;

namespace Recognize.Orleans.Benchmarks;

/// <summary>The engines, by the names that the command line and the service know.</summary>
internal static class Engine
{
    public const string Sqlite = "sqlite";
    public const string PostgreSql = "postgresql";

    public static readonly IReadOnlyList<string> All = [Sqlite, PostgreSql];
}

/// <summary>A fresh, empty database. Disposing it removes it.</summary>
internal sealed class BenchmarkDatabase(string connectionString, Func<ValueTask> remove) : IAsyncDisposable
{
    public string ConnectionString => connectionString;

    public static Task<BenchmarkDatabase> CreateAsync(string engine, Options options, CancellationToken cancellationToken) => engine switch
    {
        Engine.Sqlite => Task.FromResult(CreateSqlite(options.Directory)),
        Engine.PostgreSql => CreatePostgreSqlAsync(Options.PostgreSql!, cancellationToken),
        _ => throw new ArgumentOutOfRangeException(nameof(engine), engine, "No such engine."),
    };

    public ValueTask DisposeAsync() => remove();

    private static BenchmarkDatabase CreateSqlite(string directory)
    {
        var folder = Directory.CreateDirectory(Path.Combine(directory, Name()));
        return new($"Data Source={Path.Combine(folder.FullName, "bench.db")}", () =>
        {
            folder.Delete(recursive: true);
            return ValueTask.CompletedTask;
        });
    }

    private static async Task<BenchmarkDatabase> CreatePostgreSqlAsync(string server, CancellationToken cancellationToken)
    {
        var name = Name();
        await ExecuteAsync(server, $"CREATE DATABASE {name}", cancellationToken);
        return new(
            new NpgsqlConnectionStringBuilder(server) { Database = name }.ConnectionString,
            async () => await ExecuteAsync(server, $"DROP DATABASE {name} WITH (FORCE)", CancellationToken.None));
    }

    private static string Name() => $"recognize_bench_{Guid.NewGuid():N}";

    private static async Task ExecuteAsync(string connectionString, string sql, CancellationToken cancellationToken)
    {
        try
        {
            await using var source = NpgsqlDataSource.Create(connectionString);
            await using var command = source.CreateCommand(sql);
            await command.ExecuteNonQueryAsync(cancellationToken);
        }
        catch (NpgsqlException fault)
        {
            throw new BenchmarkException($"PostgreSQL of RECOGNIZE_TEST_POSTGRESQL: {fault.Message}");
        }
    }
}
