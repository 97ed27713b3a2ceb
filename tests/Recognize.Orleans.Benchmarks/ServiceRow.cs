using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Users;

namespace Recognize.Orleans.Benchmarks;

/// <summary>A row of OrleansStorage as the service writes one.</summary>
internal static class ServiceRow
{
    public const string Customer = "bench";
    public const string ServiceId = "recognize";
    public const string Type = "operation";

    public static readonly string[] Columns =
    [
        "GrainIdHash", "GrainIdN0", "GrainIdN1", "GrainTypeHash", "GrainTypeString", "GrainIdExtensionString", "ServiceId", "PayloadBinary", "ModifiedOn", "Version", "HistoryKey",
    ];

    /// <summary>A user has no place in a history.</summary>
    public static readonly string[] ColumnsOfUser = Columns[..^1];

    public static GrainId GrainOf(string operationId) => GrainId.Create("recognize.operation", $"op/{Customer}/{operationId}/");

    public static object[] Of(string operationId, long number, DateTime createdAt)
    {
        var state = StateOf(operationId, number, createdAt);
        return [.. Of(Type, GrainOf(operationId), state, createdAt), state.HistoryKey(Customer)];
    }

    /// <summary>What is left of the same operation once it was removed.</summary>
    public static object[] OfTombstone(string operationId, long number, DateTime removedAt)
    {
        var state = StateOf(operationId, number, removedAt).Remove(removedAt);
        return [.. Of(Type, GrainOf(operationId), state, removedAt), state.TombstoneKey!];
    }

    public static object[] OfUser(string userId, IEnumerable<string> operationIds, DateTime createdAt)
    {
        var state = new UserState { Pending = [.. operationIds.Select(id => new TrackedOperation { Id = id, At = createdAt })] };
        return Of("user", GrainId.Create("recognize.user", $"user/{Customer}/{userId}/"), state, createdAt);
    }

    private static object[] Of<TState>(string type, GrainId grain, TState state, DateTime modifiedOn)
    {
        var key = new RowKey(type, grain);
        return [key.KeyHash, 0L, 0L, key.TypeHash, key.Type, key.Key, ServiceId, StateSerializer.ToBytes(state), modifiedOn, 1];
    }

    private static OperationState StateOf(string operationId, long number, DateTime createdAt) => new()
    {
        Id = number + 1,
        CreatedAt = createdAt,
        NodeId = "seed",
        UserId = Requests.PastUser(number),
        OperationId = operationId,
        ExternalUserId = Requests.ExternalUserId,
        Payload = Requests.Payload,
        Attempt = "00000000000000000000000000000000",
        Status = OperationStatus.Approved,
        DecidedAt = createdAt,
        DecidedWith = AuthType.Biom,
    };
}
