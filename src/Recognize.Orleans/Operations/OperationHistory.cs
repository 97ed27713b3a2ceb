using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations;

/// <summary>
/// Reads the operations of users from the database, whichever storage wrote them. Every write of an operation sets the
/// keys by which its row is found, so an operation is in the history, and among the pending ones, from the moment it
/// exists.
/// </summary>
internal sealed partial class OperationHistory(Database database, RowReader reader, IOptions<ClusterOptions> cluster, StateSerializer serializer, ILogger<OperationHistory> logger)
{
    /// <summary>Appended to a prefix: sorts behind every key that begins with that prefix.</summary>
    public const string End = "~";

    // The default limit of pending operations: one read is enough unless that limit is set higher.
    private const int Numbers = 1_000;

    /// <summary>
    /// The newest operations before a position in a user's history, newest first. A row that cannot be read is left out
    /// and logged.
    /// </summary>
    /// <param name="user">The user.</param>
    /// <param name="before">The position of the last operation that is known; null: from the newest on.</param>
    /// <param name="count">How many at most.</param>
    public async Task<HistoryPage> ReadAsync(UserKey user, string? before, int count)
    {
        var owner = OperationState.PrefixOf(user);
        return PageOf(await reader.ReadAsync(new RowRange(new(RowIndex.Owner, Descending: true), owner, owner + (before ?? End), count), CancellationToken.None), owner, count);
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
        var owner = OperationState.PrefixOf(user);
        return PageOf(await reader.ReadAsync(new RowRange(new(RowIndex.Open), owner + after, owner + End, count), CancellationToken.None), owner, count);
    }

    /// <summary>
    /// The numbers of the user's operations whose rows are pending, in the order of creation. Reads only the index.
    /// </summary>
    public async Task<IReadOnlyList<long>> ReadPendingNumbersAsync(UserKey user)
    {
        var owner = OperationState.PrefixOf(user);
        var numbers = new List<long>();
        var after = owner;
        while (true)
        {
            var rows = await reader.ReadAsync(new RowRange(new(RowIndex.Open, RowPart.None), after, owner + End, Numbers), CancellationToken.None);
            numbers.AddRange(rows.Select(row => OperationState.NumberOf(row.Key)));
            if (rows.Count < Numbers)
            {
                return numbers;
            }

            after = rows[^1].Key;
        }
    }

    /// <summary>How many operations of all users are pending, overdue ones included. Reads the whole index of them.</summary>
    public Task<long> CountPendingAsync(CancellationToken cancellationToken) =>
        database.CountAsync(cluster.Value.ServiceId, RowIndex.Open, OperationState.Kind, OperationState.Kind + End, cancellationToken);

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

    private static partial class Log
    {
        [LoggerMessage(70, LogLevel.Error, "The row at {Key} cannot be read and is left out.")]
        public static partial void Unreadable(ILogger logger, string key, Exception exception);
    }
}

/// <param name="Rows">The position of each operation and its stored state; null when it cannot be read.</param>
/// <param name="IsLast">Whether this is the last page.</param>
internal sealed record HistoryPage(IReadOnlyList<(string Position, OperationState? State)> Rows, bool IsLast)
{
    /// <summary>The size of the rows as they are stored.</summary>
    public required int Bytes { get; init; }
}
