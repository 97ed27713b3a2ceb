using System.Data;
using System.Data.Common;
using System.Globalization;
using Microsoft.Data.SqlClient;
using Npgsql;

namespace Recognize.Orleans.Benchmarks;

/// <summary>How a server stores operations, so that some can be put where it will find them.</summary>
internal enum Storing
{
    Nothing,
    BaselineTable,
    OrleansStorage,
}

/// <summary>
/// Puts operations that were approved long ago straight into the database: as many as one likes, and none of them in a
/// server's memory. They are on nobody's list.
/// </summary>
internal static class Seed
{
    private const int RowsOfAChunk = 10_000;

    private static readonly DateTime CreatedAt = new(2025, 5, 21, 10, 30, 0, DateTimeKind.Utc);

    public static async Task InsertAsync(Server server, string prefix, long first, long count, CancellationToken cancellationToken)
    {
        var numbers = Enumerable.Range(0, (int)count).Select(offset => first + offset);
        switch (server.Contestant.Storing)
        {
            case Storing.BaselineTable:
                await InsertAsync(
                    server.Database,
                    "operations",
                    ["operation_id", "user_id", "external_user_id", "payload", "status", "created_at"],
                    numbers.Select(number => BaselineRow($"{prefix}-{number}", number)),
                    cancellationToken);
                break;
            case Storing.OrleansStorage:
                await InsertAsync(server.Database, numbers.Select(number => ServiceRow.Of($"{prefix}-{number}", number, CreatedAt)), cancellationToken);
                return;
            default:
                return;
        }

        await SettleAsync(server.Database, cancellationToken);
    }

    /// <summary>The same for the service alone, with no server.</summary>
    public static Task InsertOperationsAsync(BenchmarkDatabase database, string prefix, int count, CancellationToken cancellationToken) =>
        InsertAsync(database, Enumerable.Range(0, count).Select(number => ServiceRow.Of($"{prefix}-{number}", number, CreatedAt)), cancellationToken);

    /// <summary>What is left of operations that were removed long ago.</summary>
    public static Task InsertTombstonesAsync(BenchmarkDatabase database, string prefix, int count, CancellationToken cancellationToken) =>
        InsertAsync(database, Enumerable.Range(0, count).Select(number => ServiceRow.OfTombstone($"{prefix}-{number}", number, CreatedAt)), cancellationToken);

    private static async Task InsertAsync(BenchmarkDatabase database, IEnumerable<object[]> serviceRows, CancellationToken cancellationToken)
    {
        await InsertAsync(database, "OrleansStorage", ServiceRow.Columns, serviceRows, cancellationToken);
        await SettleAsync(database, cancellationToken);
    }

    // What a database does after so many rows would otherwise fall into the measurement.
    private static Task SettleAsync(BenchmarkDatabase database, CancellationToken cancellationToken) => database.ExecuteAsync(
        database.Engine switch
        {
            Engine.Sqlite => "PRAGMA wal_checkpoint(TRUNCATE)",
            Engine.PostgreSql => "VACUUM (ANALYZE)",
            _ => "CHECKPOINT",
        },
        cancellationToken);

    private static object[] BaselineRow(string operationId, long number) =>
        [operationId, Requests.PastUser(number), Requests.ExternalUserId, Requests.Payload, (short)1, DateTime.SpecifyKind(CreatedAt, DateTimeKind.Unspecified)];

    private static async Task InsertAsync(BenchmarkDatabase database, string table, string[] columns, IEnumerable<object[]> rows, CancellationToken cancellationToken)
    {
        await using var connection = await database.OpenAsync(cancellationToken);
        await (connection switch
        {
            NpgsqlConnection postgreSql => CopyAsync(postgreSql, table, columns, rows, cancellationToken),
            SqlConnection sqlServer => CopyAsync(sqlServer, table, columns, rows, cancellationToken),
            _ => InsertAsync(connection, table, columns, rows, cancellationToken),
        });
    }

    private static async Task CopyAsync(NpgsqlConnection connection, string table, string[] columns, IEnumerable<object[]> rows, CancellationToken cancellationToken)
    {
        await using var importer = await connection.BeginBinaryImportAsync($"COPY {table} ({string.Join(", ", columns)}) FROM STDIN (FORMAT BINARY)", cancellationToken);
        foreach (var row in rows)
        {
            await importer.WriteRowAsync(cancellationToken, row);
        }

        await importer.CompleteAsync(cancellationToken);
    }

    private static async Task CopyAsync(SqlConnection connection, string table, string[] columns, IEnumerable<object[]> rows, CancellationToken cancellationToken)
    {
        using var copy = new SqlBulkCopy(connection) { DestinationTableName = table, BulkCopyTimeout = 600 };
        Array.ForEach(columns, column => copy.ColumnMappings.Add(column, column));
        foreach (var chunk in rows.Chunk(RowsOfAChunk))
        {
            using var data = new DataTable { Locale = CultureInfo.InvariantCulture };
            data.Columns.AddRange([.. columns.Zip(chunk[0], (name, value) => new DataColumn(name, value.GetType()))]);
            Array.ForEach(chunk, row => data.Rows.Add(row));
            await copy.WriteToServerAsync(data, cancellationToken);
        }
    }

    // In chunks, so that a server that writes meanwhile is not kept waiting longer than SQLite lets it.
    [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA2100", Justification = "The names are this program's own.")]
    private static async Task InsertAsync(DbConnection connection, string table, string[] columns, IEnumerable<object[]> rows, CancellationToken cancellationToken)
    {
        await using var insert = connection.CreateCommand();
        insert.CommandText = $"INSERT INTO {table} ({string.Join(", ", columns)}) VALUES ({string.Join(", ", columns.Select(column => $"${column}"))})";
        foreach (var column in columns)
        {
            var parameter = insert.CreateParameter();
            parameter.ParameterName = $"${column}";
            insert.Parameters.Add(parameter);
        }

        foreach (var chunk in rows.Chunk(RowsOfAChunk))
        {
            await using var transaction = await connection.BeginTransactionAsync(cancellationToken);
            insert.Transaction = transaction;
            foreach (var row in chunk)
            {
                for (var i = 0; i < row.Length; i++)
                {
                    insert.Parameters[i].Value = row[i] is DateTime time ? Text(time) : row[i];
                }

                insert.ExecuteNonQuery();
            }

            await transaction.CommitAsync(cancellationToken);
        }
    }

    // As the two tables hold a time: the service's with the zone, the baseline's as the API shows it.
    private static string Text(DateTime time) =>
        time.ToString(time.Kind is DateTimeKind.Utc ? "yyyy-MM-dd'T'HH:mm:ss.fff'Z'" : "yyyy-MM-dd'T'HH:mm:ss.fff", CultureInfo.InvariantCulture);
}
