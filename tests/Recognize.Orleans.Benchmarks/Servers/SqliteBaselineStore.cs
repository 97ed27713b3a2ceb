using System.Collections.Concurrent;
using Microsoft.Data.Sqlite;

namespace Recognize.Orleans.Benchmarks.Servers;

/// <summary>
/// Statements that stay prepared on connections that stay open. SQLite has one writer at a time, so writers queue here,
/// where waiting costs nothing, instead of in its busy handler, which sleeps; readers have a connection per thread that reads.
/// </summary>
internal sealed class SqliteBaselineStore : IBaselineStore
{
    private readonly string connectionString;
    private readonly SemaphoreSlim turn = new(1);
    private readonly SqliteConnection writer;
    private readonly Statement insert;
    private readonly Statement decide;
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
        insert = new(
            writer,
            """
            INSERT INTO operations (operation_id, user_id, external_user_id, payload, status, created_at)
            VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT DO NOTHING
            """,
            parameters: 5);
        decide = new(writer, "UPDATE operations SET status = $2 WHERE operation_id = $1 AND status = 0", parameters: 2);
    }

    public ValueTask<bool> TryInsertAsync(string userId, CreateView operation, DateTime createdAt) =>
        WriteAsync(insert, operation.OperationId, userId, operation.ExternalUserId, operation.OperationPayload, OperationView.Time(createdAt));

    public ValueTask<OperationView?> FindAsync(string operationId) => ValueTask.FromResult(Read(reader => reader.Find(operationId)));

    public ValueTask<bool> TryDecideAsync(string operationId, bool approves) => WriteAsync(decide, operationId, approves ? 1 : 2);

    public ValueTask<List<PendingView>> ListPendingAsync(string userId) => ValueTask.FromResult(Read(reader => reader.ListPending(userId)));

    public ValueTask DisposeAsync()
    {
        foreach (var reader in readers)
        {
            reader.Dispose();
        }

        insert.Dispose();
        decide.Dispose();
        writer.Dispose();
        turn.Dispose();
        return ValueTask.CompletedTask;
    }

    private async ValueTask<bool> WriteAsync(Statement statement, params object?[] values)
    {
        await turn.WaitAsync();
        try
        {
            return statement.With(values).ExecuteNonQuery() == 1;
        }
        finally
        {
            turn.Release();
        }
    }

    private T Read<T>(Func<Reader, T> read)
    {
        if (!readers.TryPop(out var reader))
        {
            reader = new Reader(Open(connectionString));
        }

        var found = read(reader);
        readers.Push(reader);
        return found;
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

    private sealed class Statement : IDisposable
    {
        private readonly SqliteCommand command;

        [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA2100", Justification = "The statements are constants of this class.")]
        public Statement(SqliteConnection connection, string sql, int parameters)
        {
            command = connection.CreateCommand();
            command.CommandText = sql;
            for (var number = 1; number <= parameters; number++)
            {
                command.Parameters.AddWithValue($"${number}", "");
            }

            command.Prepare();
        }

        public SqliteCommand With(params ReadOnlySpan<object?> values)
        {
            for (var i = 0; i < values.Length; i++)
            {
                command.Parameters[i].Value = values[i] ?? DBNull.Value;
            }

            return command;
        }

        public void Dispose() => command.Dispose();
    }

    private sealed class Reader(SqliteConnection connection) : IDisposable
    {
        private readonly Statement find = new(connection, "SELECT id, user_id, external_user_id, payload, status, created_at FROM operations WHERE operation_id = $1", parameters: 1);

        // Prepared late, so that the index that the benchmark makes for it is known.
        private Statement? list;

        public OperationView? Find(string operationId)
        {
            using var row = find.With(operationId).ExecuteReader();
            return row.Read() ? OperationView.Read(row, operationId, row.GetString(5)) : null;
        }

        public List<PendingView> ListPending(string userId)
        {
            list ??= new(connection, "SELECT operation_id, payload, external_user_id FROM operations WHERE user_id = $1 AND status = 0 ORDER BY id", parameters: 1);
            using var row = list.With(userId).ExecuteReader();
            var pending = new List<PendingView>();
            while (row.Read())
            {
                pending.Add(PendingView.Read(row));
            }

            return pending;
        }

        public void Dispose()
        {
            find.Dispose();
            list?.Dispose();
            connection.Dispose();
        }
    }
}
