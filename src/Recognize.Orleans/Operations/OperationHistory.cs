using System.Data;
using System.Data.Common;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations;

/// <summary>
/// Reads the operations of users from the database, whichever storage wrote them. Every write of an operation sets the
/// keys by which its row is found, so an operation is in the history, and among the pending ones, from the moment it
/// exists. The removal sets the key of a tombstone.
/// </summary>
internal sealed partial class OperationHistory(Database database, RowReader reader, IOptions<ClusterOptions> cluster, ILogger<OperationHistory> logger)
{
    /// <summary>Appended to a prefix: sorts behind every key that begins with that prefix.</summary>
    public const string End = "~";

    // The default limit of pending operations: one read is enough unless that limit is set higher.
    private const int Numbers = 1_000;

    private readonly StateSerializer serializer = new(StateJson.Stored);

    /// <summary>
    /// The newest operations before a position in a user's history, newest first. A row that cannot be read is left out
    /// and logged.
    /// </summary>
    /// <param name="user">The user.</param>
    /// <param name="before">The position of the last operation that is known; null: from the newest on.</param>
    /// <param name="count">How many at most.</param>
    public async Task<HistoryPage> ReadAsync(UserKey user, string? before, int count)
    {
        var owner = OperationState.HistoryOf(user);
        return PageOf(await reader.ReadAsync(new RowRange(RowIndex.History, owner, owner + (before ?? End), count), CancellationToken.None), owner, count);
    }

    /// <summary>
    /// The user's operations whose rows are pending, overdue ones included, in the order of creation. A row that cannot
    /// be read is left out and logged.
    /// </summary>
    /// <param name="user">The user.</param>
    /// <param name="after">The position of the last operation that is known; null: from the oldest on.</param>
    /// <param name="count">How many at most.</param>
    public async Task<HistoryPage> ReadPendingAsync(UserKey user, string? after, int count)
    {
        var owner = OperationState.HistoryOf(user);
        return PageOf(await reader.ReadAsync(new RowRange(RowIndex.Pending, owner + after, owner + End, count), CancellationToken.None), owner, count);
    }

    /// <summary>
    /// The numbers of the user's operations whose rows are pending, in the order of creation. Reads only the index.
    /// </summary>
    public async Task<IReadOnlyList<long>> ReadPendingNumbersAsync(UserKey user)
    {
        var owner = OperationState.HistoryOf(user);
        var numbers = new List<long>();
        var after = owner;
        while (true)
        {
            var rows = await reader.ReadAsync(new RowRange(RowIndex.PendingKeys, after, owner + End, Numbers), CancellationToken.None);
            numbers.AddRange(rows.Select(row => OperationState.NumberOf(row.Key)));
            if (rows.Count < Numbers)
            {
                return numbers;
            }

            after = rows[^1].Key;
        }
    }

    /// <summary>
    /// The next keys after a given one in the history of all users, ordered by customer, user and time. Reads only the
    /// index.
    /// </summary>
    public Task<IReadOnlyList<string>> KeysAsync(string after, int count, CancellationToken cancellationToken) =>
        QueryAsync(KeysIn(database), (after, OperationState.Tombstones), count, row => row.GetString(0), cancellationToken);

    /// <summary>
    /// The first operations or tombstones after one key and before another, and the keys of their grains.
    /// </summary>
    public Task<IReadOnlyList<(string Position, string GrainKey)>> RowsAsync(string after, string before, int count, CancellationToken cancellationToken) =>
        QueryAsync(RowsIn(database), (after, before), count, row => (row.GetString(0), row.GetString(1)), cancellationToken);

    /// <summary>How many operations of all users are pending, overdue ones included. Reads the whole index of them.</summary>
    public async Task<long> CountPendingAsync(CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = database.CommandOf(connection, PendingIn, [new("@service", cluster.Value.ServiceId, DbType.String, 150)]);
        return Convert.ToInt64(await command.ExecuteScalarAsync(cancellationToken), System.Globalization.CultureInfo.InvariantCulture);
    }

    /// <summary>Every statement of this class that reads a page, for a database engine.</summary>
    internal static IEnumerable<string> QueriesOf(Database database) => [KeysIn(database), RowsIn(database)];

    private const string PendingIn = "SELECT COUNT(*) FROM OrleansStorage WHERE ServiceId = @service AND PendingKey IS NOT NULL";

    private static string KeysIn(Database database) => RangeIn(database, "HistoryKey");

    private static string RowsIn(Database database) => RangeIn(database, "HistoryKey, GrainIdExtensionString");

    private static string RangeIn(Database database, string columns) =>
        database.FirstText(columns, "OrleansStorage", "WHERE ServiceId = @service AND HistoryKey > @after AND HistoryKey < @before ORDER BY HistoryKey");

    private HistoryPage PageOf(List<RangeRow> rows, string owner, int count) =>
        new([.. rows.Select(row => (row.Key[owner.Length..], StateOf(row)))], IsLast: rows.Count < count) { Bytes = rows.Sum(row => row.Payload?.Length ?? 0) };

    private OperationState? StateOf(RangeRow row)
    {
        try
        {
            return row.Payload is null ? null : serializer.Deserialize<OperationState>(new(row.Payload));
        }
        catch (Exception exception) when (exception is System.Text.Json.JsonException or NotSupportedException or InvalidOperationException)
        {
            Log.Unreadable(logger, row.Key, exception);
            return null;
        }
    }

    private async Task<IReadOnlyList<TRow>> QueryAsync<TRow>(string text, (string After, string Before) range, int count, Func<DbDataReader, TRow> read, CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = database.CommandOf(
            connection,
            text,
            new("@service", cluster.Value.ServiceId, DbType.String, 150),
            new("@after", range.After, DbType.AnsiString, 220),
            new("@before", range.Before, DbType.AnsiString, 220),
            new("@count", count, DbType.Int32));
        var found = new List<TRow>(count);
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        while (await rows.ReadAsync(cancellationToken))
        {
            found.Add(read(rows));
        }

        return found;
    }

    private static partial class Log
    {
        [LoggerMessage(70, LogLevel.Error, "The row at {HistoryKey} cannot be read and is left out.")]
        public static partial void Unreadable(ILogger logger, string historyKey, Exception exception);
    }
}

/// <param name="Rows">The position of each operation and its stored state; null when it cannot be read.</param>
/// <param name="IsLast">Whether this is the last page.</param>
internal sealed record HistoryPage(IReadOnlyList<(string Position, OperationState? State)> Rows, bool IsLast)
{
    /// <summary>The size of the rows as they are stored.</summary>
    public required int Bytes { get; init; }
}
