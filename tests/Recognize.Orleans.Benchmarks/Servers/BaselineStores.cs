using System.Collections.Concurrent;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Recognize.Orleans.Benchmarks.Servers;

/// <summary>Pooled connections, statements prepared at their first use, one statement and one round trip per request.</summary>
internal sealed class PostgreSqlBaselineStore : IBaselineStore
{
    private readonly NpgsqlDataSource source;

    private PostgreSqlBaselineStore(NpgsqlDataSource source) => this.source = source;

    public static async Task<PostgreSqlBaselineStore> OpenAsync(string connectionString)
    {
        var source = NpgsqlDataSource.Create(new NpgsqlConnectionStringBuilder(connectionString)
        {
            MaxAutoPrepare = 10,
            AutoPrepareMinUsages = 1,
            NoResetOnClose = true,
        });
        await using var command = source.CreateCommand("""
            CREATE TABLE operations (
              id bigint GENERATED ALWAYS AS IDENTITY,
              operation_id text NOT NULL PRIMARY KEY,
              user_id text NOT NULL,
              external_user_id text,
              payload text,
              status smallint NOT NULL,
              created_at timestamp NOT NULL)
            """);
        await command.ExecuteNonQueryAsync();
        return new(source);
    }

    public async ValueTask<bool> TryInsertAsync(string userId, CreateView operation, DateTime createdAt)
    {
        await using var command = source.CreateCommand("""
            INSERT INTO operations (operation_id, user_id, external_user_id, payload, status, created_at)
            VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT DO NOTHING
            """);
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = operation.OperationId });
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = userId });
        command.Parameters.Add(new NpgsqlParameter<string?> { TypedValue = operation.ExternalUserId });
        command.Parameters.Add(new NpgsqlParameter<string?> { TypedValue = operation.OperationPayload });
        command.Parameters.Add(new NpgsqlParameter<DateTime> { TypedValue = DateTime.SpecifyKind(createdAt, DateTimeKind.Unspecified) });
        return await command.ExecuteNonQueryAsync() == 1;
    }

    public async ValueTask<OperationView?> FindAsync(string operationId)
    {
        await using var command = source.CreateCommand("SELECT id, created_at, user_id, external_user_id, payload, status FROM operations WHERE operation_id = $1");
        command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = operationId });
        await using var reader = await command.ExecuteReaderAsync();
        if (!await reader.ReadAsync())
        {
            return null;
        }

        var status = reader.GetInt16(5);
        return new OperationView
        {
            Id = reader.GetInt64(0),
            Timestamp = OperationView.Time(reader.GetDateTime(1)),
            UserId = reader.GetString(2),
            OperationId = operationId,
            State = status == 1 ? "approved" : "pending",
            Result = status == 1,
            ExternalUserId = reader.IsDBNull(3) ? null : reader.GetString(3),
            OperationPayload = reader.IsDBNull(4) ? null : reader.GetString(4),
            Status = status switch { 1 => "approved", 2 => "denied", _ => "pending" },
        };
    }

    public ValueTask DisposeAsync() => source.DisposeAsync();
}

/// <summary>
/// Statements that stay prepared on connections that stay open. SQLite has one writer at a time, so writers queue here,
/// where waiting costs nothing, instead of in its busy handler, which sleeps; readers have a connection per thread that reads.
/// </summary>
internal sealed class SqliteBaselineStore : IBaselineStore
{
    private readonly string connectionString;
    private readonly SemaphoreSlim turn = new(1);
    private readonly SqliteConnection writer;
    private readonly SqliteCommand insert;
    private readonly ConcurrentStack<Reader> readers = new();

    public SqliteBaselineStore(string connectionString)
    {
        this.connectionString = connectionString;
        writer = Open(connectionString);
        using var table = writer.CreateCommand();
        table.CommandText = """
            CREATE TABLE operations (
              id INTEGER PRIMARY KEY,
              operation_id TEXT NOT NULL UNIQUE,
              user_id TEXT NOT NULL,
              external_user_id TEXT,
              payload TEXT,
              status INTEGER NOT NULL,
              created_at TEXT NOT NULL)
            """;
        table.ExecuteNonQuery();
        insert = writer.CreateCommand();
        insert.CommandText = """
            INSERT INTO operations (operation_id, user_id, external_user_id, payload, status, created_at)
            VALUES ($operation, $user, $external, $payload, 0, $created) ON CONFLICT DO NOTHING
            """;
        foreach (var name in (string[])["$operation", "$user", "$external", "$payload", "$created"])
        {
            insert.Parameters.Add(name, SqliteType.Text);
        }

        insert.Prepare();
    }

    public async ValueTask<bool> TryInsertAsync(string userId, CreateView operation, DateTime createdAt)
    {
        await turn.WaitAsync();
        try
        {
            insert.Parameters[0].Value = operation.OperationId;
            insert.Parameters[1].Value = userId;
            insert.Parameters[2].Value = (object?)operation.ExternalUserId ?? DBNull.Value;
            insert.Parameters[3].Value = (object?)operation.OperationPayload ?? DBNull.Value;
            insert.Parameters[4].Value = OperationView.Time(createdAt);
            return insert.ExecuteNonQuery() == 1;
        }
        finally
        {
            turn.Release();
        }
    }

    public ValueTask<OperationView?> FindAsync(string operationId)
    {
        if (!readers.TryPop(out var reader))
        {
            reader = new Reader(Open(connectionString));
        }

        var found = reader.Find(operationId);
        readers.Push(reader);
        return ValueTask.FromResult(found);
    }

    public ValueTask DisposeAsync()
    {
        foreach (var reader in readers)
        {
            reader.Dispose();
        }

        insert.Dispose();
        writer.Dispose();
        turn.Dispose();
        return ValueTask.CompletedTask;
    }

    private static SqliteConnection Open(string connectionString)
    {
        var connection = new SqliteConnection(connectionString);
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000";
        command.ExecuteNonQuery();
        return connection;
    }

    private sealed class Reader : IDisposable
    {
        private readonly SqliteConnection connection;
        private readonly SqliteCommand select;
        private readonly SqliteParameter operation;

        public Reader(SqliteConnection connection)
        {
            this.connection = connection;
            select = connection.CreateCommand();
            select.CommandText = "SELECT id, created_at, user_id, external_user_id, payload, status FROM operations WHERE operation_id = $operation";
            operation = select.Parameters.Add("$operation", SqliteType.Text);
            select.Prepare();
        }

        public OperationView? Find(string operationId)
        {
            operation.Value = operationId;
            using var row = select.ExecuteReader();
            if (!row.Read())
            {
                return null;
            }

            var status = row.GetInt32(5);
            return new OperationView
            {
                Id = row.GetInt64(0),
                Timestamp = row.GetString(1),
                UserId = row.GetString(2),
                OperationId = operationId,
                State = status == 1 ? "approved" : "pending",
                Result = status == 1,
                ExternalUserId = row.IsDBNull(3) ? null : row.GetString(3),
                OperationPayload = row.IsDBNull(4) ? null : row.GetString(4),
                Status = status switch { 1 => "approved", 2 => "denied", _ => "pending" },
            };
        }

        public void Dispose()
        {
            select.Dispose();
            connection.Dispose();
        }
    }
}
