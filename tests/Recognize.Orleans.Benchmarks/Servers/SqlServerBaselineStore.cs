using System.Data;
using Microsoft.Data.SqlClient;

namespace Recognize.Orleans.Benchmarks.Servers;

/// <summary>Pooled connections and parameters of declared lengths, so that the server keeps one plan per statement.</summary>
internal sealed class SqlServerBaselineStore(string connectionString) : IBaselineStore
{
    public static async Task<SqlServerBaselineStore> OpenAsync(string connectionString)
    {
        var store = new SqlServerBaselineStore(connectionString);
        await store.RunAsync(
            """
            CREATE TABLE operations (
              id bigint IDENTITY NOT NULL PRIMARY KEY,
              operation_id nvarchar(256) COLLATE Latin1_General_BIN2 NOT NULL UNIQUE,
              user_id varchar(128) NOT NULL,
              external_user_id nvarchar(256),
              payload nvarchar(max),
              status smallint NOT NULL,
              created_at datetime2(3) NOT NULL)
            """,
            command => command.ExecuteNonQueryAsync());
        return store;
    }

    // The look before the insert spares an exception for a duplicate; of two at once the unique key refuses one.
    public async ValueTask<bool> TryInsertAsync(string userId, CreateView operation, DateTime createdAt)
    {
        try
        {
            return await RunAsync(
                """
                INSERT INTO operations (operation_id, user_id, external_user_id, payload, status, created_at)
                SELECT @operation, @user, @external, @payload, 0, @created
                WHERE NOT EXISTS (SELECT 1 FROM operations WHERE operation_id = @operation)
                """,
                command => command.ExecuteNonQueryAsync(),
                Operation(operation.OperationId),
                User(userId),
                new SqlParameter("@external", SqlDbType.NVarChar, 256) { Value = (object?)operation.ExternalUserId ?? DBNull.Value },
                new SqlParameter("@payload", SqlDbType.NVarChar, -1) { Value = (object?)operation.OperationPayload ?? DBNull.Value },
                new SqlParameter("@created", SqlDbType.DateTime2) { Scale = 3, Value = createdAt }) == 1;
        }
        catch (SqlException duplicate) when (duplicate.Number is 2601 or 2627)
        {
            return false;
        }
    }

    public async ValueTask<OperationView?> FindAsync(string operationId) => await RunAsync(
        "SELECT id, user_id, external_user_id, payload, status, created_at FROM operations WHERE operation_id = @operation",
        async command =>
        {
            await using var row = await command.ExecuteReaderAsync();
            return await row.ReadAsync() ? OperationView.Read(row, operationId, OperationView.Time(row.GetDateTime(5))) : null;
        },
        Operation(operationId));

    public async ValueTask<bool> TryDecideAsync(string operationId, bool approves) => await RunAsync(
        "UPDATE operations SET status = @status WHERE operation_id = @operation AND status = 0",
        command => command.ExecuteNonQueryAsync(),
        Operation(operationId),
        new SqlParameter("@status", SqlDbType.SmallInt) { Value = approves ? 1 : 2 }) == 1;

    public async ValueTask<List<PendingView>> ListPendingAsync(string userId) => await RunAsync(
        "SELECT operation_id, payload, external_user_id FROM operations WHERE user_id = @user AND status = 0 ORDER BY id",
        async command =>
        {
            await using var row = await command.ExecuteReaderAsync();
            var pending = new List<PendingView>();
            while (await row.ReadAsync())
            {
                pending.Add(PendingView.Read(row));
            }

            return pending;
        },
        User(userId));

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static SqlParameter Operation(string id) => new("@operation", SqlDbType.NVarChar, 256) { Value = id };

    private static SqlParameter User(string id) => new("@user", SqlDbType.VarChar, 128) { Value = id };

    [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA2100", Justification = "The statements are constants of this class.")]
    private async Task<T> RunAsync<T>(string sql, Func<SqlCommand, Task<T>> run, params SqlParameter[] parameters)
    {
        await using var connection = new SqlConnection(connectionString);
        await connection.OpenAsync();
        await using var command = new SqlCommand(sql, connection);
        command.Parameters.AddRange(parameters);
        return await run(command);
    }
}
