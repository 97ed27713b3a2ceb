using System.Data;
using System.Data.Common;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Recognize.Orleans.Operations;

namespace Recognize.Orleans.Storage;

/// <summary>
/// The operations of users as the database holds them, whichever storage wrote them. A row is found by the key that its first write gave it,
/// so that an operation is in the history from the moment it exists; a tombstone by the key that its removal gave it.
/// </summary>
internal sealed class OperationHistory(Database database, IOptions<ClusterOptions> cluster)
{
    /// <summary>Behind every place that begins with what comes before it.</summary>
    public const string End = "~";

    private readonly StateSerializer serializer = new();

    /// <summary>The newest operations before a place in a user's history, newest first.</summary>
    /// <param name="customer">The customer.</param>
    /// <param name="userId">The customer's user.</param>
    /// <param name="before">The place of the last operation that is known; null: from the newest on.</param>
    /// <param name="count">How many at most.</param>
    /// <param name="cancellationToken">Ends the query.</param>
    public async Task<IReadOnlyList<(string Place, OperationState State)>> ReadAsync(string customer, string userId, string? before, int count, CancellationToken cancellationToken)
    {
        var owner = OperationState.HistoryOf(customer, userId);
        return await QueryAsync(
            NewestOf(database.Engine),
            (owner, owner + (before ?? End)),
            count,
            row => (row.GetString(0)[owner.Length..], serializer.Deserialize<OperationState>(new(row.GetFieldValue<byte[]>(1)))!),
            cancellationToken);
    }

    /// <summary>Where the next operations after a place in the history of all users stand, in its order: by customer, user and time. Reads the index alone.</summary>
    public Task<IReadOnlyList<string>> PlacesAsync(string after, int count, CancellationToken cancellationToken) =>
        QueryAsync(PlacesOf(database.Engine), (after, OperationState.Tombstones), count, row => row.GetString(0), cancellationToken);

    /// <summary>The first operations, or tombstones, after one place and before another, and the keys of their grains.</summary>
    public Task<IReadOnlyList<(string Place, string GrainKey)>> RowsAsync(string after, string before, int count, CancellationToken cancellationToken) =>
        QueryAsync(RowsOf(database.Engine), (after, before), count, row => (row.GetString(0), row.GetString(1)), cancellationToken);

    /// <summary>Every statement that runs on an engine.</summary>
    internal static IEnumerable<string> QueriesOf(StorageEngine engine) => [NewestOf(engine), PlacesOf(engine), RowsOf(engine)];

    private static string NewestOf(StorageEngine engine) => QueryOf(engine, "HistoryKey, PayloadBinary", "DESC");

    private static string PlacesOf(StorageEngine engine) => QueryOf(engine, "HistoryKey", "ASC");

    private static string RowsOf(StorageEngine engine) => QueryOf(engine, "HistoryKey, GrainIdExtensionString", "ASC");

    private static string QueryOf(StorageEngine engine, string columns, string order)
    {
        var rows = $"FROM OrleansStorage WHERE ServiceId = @service AND HistoryKey > @after AND HistoryKey < @before ORDER BY HistoryKey {order}";
        return engine is StorageEngine.SqlServer ? $"SELECT TOP (@count) {columns} {rows};" : $"SELECT {columns} {rows} LIMIT @count";
    }

    [System.Diagnostics.CodeAnalysis.SuppressMessage("Security", "CA2100", Justification = "The texts are constants; values are parameters.")]
    private async Task<IReadOnlyList<TRow>> QueryAsync<TRow>(string text, (string After, string Before) range, int count, Func<DbDataReader, TRow> read, CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = text;
        Add(command, "service", cluster.Value.ServiceId, DbType.String);
        Add(command, "after", range.After, DbType.AnsiString);
        Add(command, "before", range.Before, DbType.AnsiString);
        Add(command, "count", count, DbType.Int32);
        var found = new List<TRow>(count);
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        while (await rows.ReadAsync(cancellationToken))
        {
            found.Add(read(rows));
        }

        return found;
    }

    private static void Add(DbCommand command, string name, object value, DbType type)
    {
        var parameter = command.CreateParameter();
        (parameter.ParameterName, parameter.Value, parameter.DbType) = ($"@{name}", value, type);
        command.Parameters.Add(parameter);
    }
}
