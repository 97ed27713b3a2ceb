using System.Data;
using System.Data.Common;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Recognize.Orleans.Operations;

namespace Recognize.Orleans.Storage;

/// <summary>
/// The operations of a user as the database holds them, whichever storage wrote them. A row is found by the key that its first write gave it,
/// so that an operation is in the history from the moment it exists.
/// </summary>
internal sealed class OperationHistory(Database database, IOptions<ClusterOptions> cluster)
{
    // Behind every character of a key.
    private const string End = "~";

    private const string Where = "ServiceId = @service AND HistoryKey >= @first AND HistoryKey < @before AND PayloadBinary IS NOT NULL ORDER BY HistoryKey DESC";

    private readonly StateSerializer serializer = new();

    internal static string QueryOf(StorageEngine engine) => engine is StorageEngine.SqlServer
        ? $"SELECT TOP (@count) HistoryKey, PayloadBinary FROM OrleansStorage WHERE {Where};"
        : $"SELECT HistoryKey, PayloadBinary FROM OrleansStorage WHERE {Where} LIMIT @count";

    /// <summary>The newest operations before a place in the history, newest first.</summary>
    /// <param name="customer">The customer.</param>
    /// <param name="userId">The customer's user.</param>
    /// <param name="before">The place of the last operation that is known; null: from the newest on.</param>
    /// <param name="count">How many at most.</param>
    /// <param name="cancellationToken">Ends the query.</param>
    public async Task<IReadOnlyList<(string Place, OperationState State)>> ReadAsync(string customer, string userId, string? before, int count, CancellationToken cancellationToken)
    {
        var owner = OperationState.HistoryOf(customer, userId);
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = QueryOf(database.Engine);
        Add(command, "service", cluster.Value.ServiceId, DbType.String);
        Add(command, "first", owner, DbType.AnsiString);
        Add(command, "before", owner + (before ?? End), DbType.AnsiString);
        Add(command, "count", count, DbType.Int32);
        var found = new List<(string, OperationState)>(count);
        await using var rows = await command.ExecuteReaderAsync(cancellationToken);
        while (await rows.ReadAsync(cancellationToken))
        {
            var state = serializer.Deserialize<OperationState>(new(rows.GetFieldValue<byte[]>(1)));
            found.Add((rows.GetString(0)[owner.Length..], state!));
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
