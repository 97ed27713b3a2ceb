using Recognize.Orleans.Operations;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Benchmarks;

/// <summary>A row of OrleansStorage as the service writes one.</summary>
internal static class ServiceRow
{
    public const string Customer = "bench";
    public const string ServiceId = "recognize";

    // Nothing here is pending, so that the key of what is stays empty: other builds need not have it.
    public static readonly string[] Columns =
    [
        "GrainIdHash", "GrainIdN0", "GrainIdN1", "GrainTypeHash", "GrainTypeString", "GrainIdExtensionString", "ServiceId", "PayloadBinary", "ModifiedOn", "Version", "HistoryKey",
    ];

    private static readonly StateSerializer Serializer = new(StateJson.Stored);

    public static GrainId GrainOf(string operationId) => GrainId.Create("recognize.operation", $"op/{Customer}/{operationId}/");

    public static object[] Of(string operationId, long number, DateTime createdAt) => Of(GrainOf(operationId), StateOf(operationId, number, createdAt), createdAt);

    /// <summary>What is left of the same operation once it was removed.</summary>
    public static object[] OfTombstone(string operationId, long number, DateTime removedAt) =>
        Of(GrainOf(operationId), StateOf(operationId, number, removedAt).Remove(removedAt), removedAt);

    private static object[] Of(GrainId grain, OperationState state, DateTime modifiedOn)
    {
        var key = new RowKey(OperationState.Name, grain);
        var payload = Serializer.Serialize(state).ToArray();
        return [key.KeyHash, 0L, 0L, key.TypeHash, key.Type, key.Key, ServiceId, payload, modifiedOn, 1, state.KeysOf(key.Key, isFirst: true).History!];
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
