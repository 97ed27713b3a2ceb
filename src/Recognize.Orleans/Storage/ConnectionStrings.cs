using Microsoft.Data.SqlClient;
using Microsoft.Data.Sqlite;
using Npgsql;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>What the service requires of a connection string, checked before anybody connects with it.</summary>
internal static class ConnectionStrings
{
    // The smallest pool that works: a check of the database, Orleans' membership, and one more.
    private const int LeastPool = 3;

    /// <summary>
    /// What is wrong with a connection string, as a sentence that can follow the name of its setting, or null. It never
    /// repeats a part of the string, because in a malformed one any part may show the password.
    /// </summary>
    public static string? ErrorIn(StorageEngine engine, string? connectionString)
    {
        if (string.IsNullOrWhiteSpace(connectionString))
        {
            return "is empty.";
        }

        try
        {
            return engine switch
            {
                StorageEngine.Sqlite => ErrorInSqlite(new(connectionString)),
                StorageEngine.SqlServer => ErrorInSqlServer(new(connectionString)),
                StorageEngine.PostgreSql => ErrorInPostgreSql(new(connectionString)),
                _ => throw new ArgumentOutOfRangeException(nameof(engine), engine, "There is no such engine."),
            };
        }
        catch (Exception exception) when (exception is FormatException or InvalidCastException or OverflowException or KeyNotFoundException or NotSupportedException
            || (exception is ArgumentException and not ArgumentOutOfRangeException))
        {
            return $"is not a connection string for {engine}: it has a keyword or a value that the engine does not know.";
        }
    }

    private static string? ErrorInSqlite(SqliteConnectionStringBuilder settings) => settings switch
    {
        { DataSource: "" } => "names no file: set Data Source.",
        { DataSource: ":memory:" } or { Mode: SqliteOpenMode.Memory } => "names a database in memory, which would forget everything: set Data Source to a file.",
        { Mode: SqliteOpenMode.ReadOnly } => "opens the file for reading only.",
        _ when settings.DataSource.StartsWith("file:", StringComparison.OrdinalIgnoreCase) => "names its file as a URI: set Data Source to a plain path.",
        _ => null,
    };

    private static string? ErrorInSqlServer(SqlConnectionStringBuilder settings) => settings switch
    {
        { DataSource: "" } => "names no server: set Data Source.",
        { InitialCatalog: "", AttachDBFilename: "" } => "names no database: set Initial Catalog.",
        { Pooling: true, MaxPoolSize: < LeastPool } => $"has a Max Pool Size below {LeastPool}: the service and Orleans look at the database at the same time.",
        _ => null,
    };

    private static string? ErrorInPostgreSql(NpgsqlConnectionStringBuilder settings) => settings switch
    {
        { Host: null or "" } => "names no server: set Host.",
        { Database: null or "" } => "names no database: set Database.",
        { Multiplexing: true } => "has Multiplexing, which mixes the sessions of statements that set something for theirs: leave it out.",
        { Pooling: true, MaxPoolSize: < LeastPool } => $"has a Maximum Pool Size below {LeastPool}: the service and Orleans look at the database at the same time.",
        _ => ErrorInCombination(settings),
    };

    // The driver checks the combination of settings only when it creates a data source.
    private static string? ErrorInCombination(NpgsqlConnectionStringBuilder settings)
    {
        NpgsqlDataSource.Create(settings).Dispose();
        return null;
    }
}
