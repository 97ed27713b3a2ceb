using System.Data.Common;
using System.Diagnostics.CodeAnalysis;
using DbUp.Builder;

namespace Recognize.Orleans.Storage;

/// <summary>One database: where its connections come from, and all in which its engine differs from the others.</summary>
internal abstract class Database(StorageEngine engine, DbDataSource dataSource) : IAsyncDisposable
{
    public StorageEngine Engine { get; } = engine;

    public DbDataSource DataSource { get; } = dataSource;

    /// <summary>The name by which Orleans' ADO.NET providers know the engine.</summary>
    public abstract string Invariant { get; }

    /// <summary>Lets whoever changes the schema wait for every other that does, for as long as <see cref="Schema.Patience"/>.</summary>
    public abstract string LockSchemaText { get; }

    /// <summary>Answers with one number, which is not zero when the database has the table RecognizeSchema.</summary>
    public abstract string HasSchemaText { get; }

    /// <summary>Answers with the database's own clock, in UTC, without an offset.</summary>
    protected abstract string ReadClockText { get; }

    /// <summary>Makes the data source; nothing is connected yet.</summary>
    /// <exception cref="ArgumentException">The connection string is malformed; <see cref="FaultIn"/> says so beforehand.</exception>
    public static Database Create(StorageEngine engine, string connectionString) => engine switch
    {
        StorageEngine.Sqlite => new SqliteDatabase(connectionString),
        StorageEngine.SqlServer => new SqlServerDatabase(connectionString),
        StorageEngine.PostgreSql => new PostgreSqlDatabase(connectionString),
        _ => throw Unknown(engine),
    };

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
                StorageEngine.Sqlite => SqliteDatabase.FaultIn(connectionString),
                StorageEngine.SqlServer => SqlServerDatabase.FaultIn(connectionString),
                StorageEngine.PostgreSql => PostgreSqlDatabase.FaultIn(connectionString),
                _ => throw Unknown(engine),
            };
        }
        catch (Exception fault) when (fault is ArgumentException or FormatException or InvalidCastException or OverflowException or KeyNotFoundException or NotSupportedException)
        {
            return $"is not a connection string for {engine}: it has a keyword or a value that the engine does not know.";
        }
    }

    /// <summary>The database's own clock, in UTC; an answer also shows that the database is there.</summary>
    public async Task<DateTimeOffset> ReadClockAsync(CancellationToken cancellationToken)
    {
        await using var connection = await DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = ReadClockText;
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        await reader.ReadAsync(cancellationToken);
        return new DateTimeOffset(DateTime.SpecifyKind(reader.GetDateTime(0), DateTimeKind.Unspecified), TimeSpan.Zero);
    }

    /// <summary>The table of grain state, for group commit.</summary>
    public abstract IRows CreateRows(string serviceId);

    /// <summary>Whether the server has the database itself.</summary>
    public abstract Task<bool> ExistsAsync();

    /// <summary>Creates the database itself; it fails when another process has created it in between.</summary>
    public abstract void CreateOnServer();

    /// <summary>Lets go of the lock; where it is a transaction, the scripts count only when they were all applied.</summary>
    public abstract string UnlockSchemaText(bool applied);

    /// <summary>How the migration library runs scripts while a connection holds the lock: each script in a transaction, whoever begins it.</summary>
    public abstract UpgradeEngineBuilder MigrationUnder(DbConnection locked);

    public ValueTask DisposeAsync() => DataSource.DisposeAsync();

    [SuppressMessage("Usage", "CA2208", Justification = "The engine is a setting, validated at the start; an unknown one is a fault of this program.")]
    internal static ArgumentOutOfRangeException Unknown(StorageEngine engine) => new(nameof(engine), engine, "No such storage engine.");
}
