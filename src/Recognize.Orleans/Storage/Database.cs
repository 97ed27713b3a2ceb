using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Data.SqlClient;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Recognize.Orleans.Storage;

/// <summary>One database: which engine it is, and where its connections come from.</summary>
internal sealed class Database : IAsyncDisposable
{
    // The storage providers run a handful of statements; prepared on the server, they get about twice as many through.
    private const int DefaultMaxAutoPrepare = 50;

    private Database(StorageEngine engine, DbDataSource dataSource)
    {
        Engine = engine;
        DataSource = dataSource;
    }

    public StorageEngine Engine { get; }

    public DbDataSource DataSource { get; }

    /// <summary>The name by which Orleans' ADO.NET providers know the engine.</summary>
    public string Invariant => Engine switch
    {
        StorageEngine.Sqlite => "System.Data.SQLite",
        StorageEngine.SqlServer => "Microsoft.Data.SqlClient",
        StorageEngine.PostgreSql => "Npgsql",
        _ => throw Unknown(Engine),
    };

    /// <summary>Makes the data source; nothing is connected yet.</summary>
    /// <exception cref="ArgumentException">The connection string is malformed; <see cref="FaultIn(StorageEngine, string)"/> says so beforehand.</exception>
    public static Database Create(StorageEngine engine, string connectionString) => new(engine, engine switch
    {
        StorageEngine.Sqlite => new SqliteDataSource(connectionString),
        StorageEngine.SqlServer => SqlClientFactory.Instance.CreateDataSource(connectionString),
        StorageEngine.PostgreSql => NpgsqlDataSource.Create(WithAutoPrepare(connectionString)),
        _ => throw Unknown(engine),
    });

    /// <summary>
    /// What is wrong with a connection string, as a sentence that can follow the name of its setting, or null. It never
    /// repeats a part of the string: a malformed one may show its password as anything.
    /// </summary>
    public static string? FaultIn(StorageEngine engine, string? connectionString)
    {
        if (string.IsNullOrWhiteSpace(connectionString))
        {
            return "is empty.";
        }

        try
        {
            return engine switch
            {
                StorageEngine.Sqlite => FaultIn(new SqliteConnectionStringBuilder(connectionString)),
                StorageEngine.SqlServer => FaultIn(new SqlConnectionStringBuilder(connectionString)),
                StorageEngine.PostgreSql => FaultIn(new NpgsqlConnectionStringBuilder(connectionString)),
                _ => throw Unknown(engine),
            };
        }
        catch (Exception fault) when (fault is ArgumentException or FormatException or InvalidCastException or OverflowException or KeyNotFoundException or NotSupportedException)
        {
            return $"is not a connection string for {engine}: it has a keyword or a value that the engine does not know.";
        }
    }

    /// <summary>The file of a SQLite connection string, as it is written there.</summary>
    public static string SqliteFile(string connectionString) => new SqliteConnectionStringBuilder(connectionString).DataSource;

    /// <summary>The database's own clock, in UTC; an answer also shows that the database is there.</summary>
    public async Task<DateTimeOffset> ReadClockAsync(CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = Engine switch
        {
            StorageEngine.Sqlite => "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')",
            StorageEngine.SqlServer => "SELECT SYSUTCDATETIME()",
            StorageEngine.PostgreSql => "SELECT clock_timestamp() AT TIME ZONE 'UTC'",
            _ => throw Unknown(Engine),
        };
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        return new DateTimeOffset(DateTime.SpecifyKind(reader.GetDateTime(0), DateTimeKind.Unspecified), TimeSpan.Zero);
    }

    public ValueTask DisposeAsync() => DataSource.DisposeAsync();

    [SuppressMessage("Usage", "CA2208", Justification = "The engine is a setting, validated at the start; an unknown one is a fault of this program.")]
    internal static ArgumentOutOfRangeException Unknown(StorageEngine engine) => new(nameof(engine), engine, "No such storage engine.");

    private static string WithAutoPrepare(string connectionString)
    {
        var builder = new NpgsqlConnectionStringBuilder(connectionString);
        if (!builder.ShouldSerialize("Max Auto Prepare"))
        {
            builder.MaxAutoPrepare = DefaultMaxAutoPrepare;
        }

        return builder.ConnectionString;
    }

    private static string? FaultIn(SqliteConnectionStringBuilder settings) => settings switch
    {
        { DataSource: "" } => "names no file: set Data Source.",
        { DataSource: ":memory:" } or { Mode: SqliteOpenMode.Memory } => "names a database in memory, which would forget every operation: set Data Source to a file.",
        { Mode: SqliteOpenMode.ReadOnly } => "opens the file for reading only.",
        _ when settings.DataSource.StartsWith("file:", StringComparison.OrdinalIgnoreCase) => "names its file as a URI: set Data Source to a plain path.",
        _ => null,
    };

    private static string? FaultIn(SqlConnectionStringBuilder settings) => settings switch
    {
        { DataSource: "" } => "names no server: set Data Source.",
        { InitialCatalog: "", AttachDBFilename: "" } => "names no database: set Initial Catalog.",
        _ => null,
    };

    private static string? FaultIn(NpgsqlConnectionStringBuilder settings)
    {
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
}
