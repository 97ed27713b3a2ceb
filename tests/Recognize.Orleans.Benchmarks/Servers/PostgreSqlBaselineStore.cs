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
        Add(command, operation.OperationId, userId);
        command.Parameters.Add(new NpgsqlParameter<string?> { TypedValue = operation.ExternalUserId });
        command.Parameters.Add(new NpgsqlParameter<string?> { TypedValue = operation.OperationPayload });
        command.Parameters.Add(new NpgsqlParameter<DateTime> { TypedValue = DateTime.SpecifyKind(createdAt, DateTimeKind.Unspecified) });
        return await command.ExecuteNonQueryAsync() == 1;
    }

    public async ValueTask<OperationView?> FindAsync(string operationId)
    {
        await using var command = source.CreateCommand("SELECT id, user_id, external_user_id, payload, status, created_at FROM operations WHERE operation_id = $1");
        Add(command, operationId);
        await using var row = await command.ExecuteReaderAsync();
        return await row.ReadAsync() ? OperationView.Read(row, operationId, OperationView.Time(row.GetDateTime(5))) : null;
    }

    public async ValueTask<bool> TryDecideAsync(string operationId, bool approves)
    {
        await using var command = source.CreateCommand("UPDATE operations SET status = $2 WHERE operation_id = $1 AND status = 0");
        Add(command, operationId);
        command.Parameters.Add(new NpgsqlParameter<short> { TypedValue = approves ? (short)1 : (short)2 });
        return await command.ExecuteNonQueryAsync() == 1;
    }

    public async ValueTask<List<PendingView>> ListPendingAsync(string userId)
    {
        await using var command = source.CreateCommand("SELECT operation_id, payload, external_user_id FROM operations WHERE user_id = $1 AND status = 0 ORDER BY id");
        Add(command, userId);
        await using var row = await command.ExecuteReaderAsync();
        var pending = new List<PendingView>();
        while (await row.ReadAsync())
        {
            pending.Add(PendingView.Read(row));
        }

        return pending;
    }

    public ValueTask DisposeAsync() => source.DisposeAsync();

    private static void Add(NpgsqlCommand command, params ReadOnlySpan<string> values)
    {
        foreach (var value in values)
        {
            command.Parameters.Add(new NpgsqlParameter<string> { TypedValue = value });
        }
    }
}
