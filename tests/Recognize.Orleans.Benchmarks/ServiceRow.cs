using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage;

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

    private static readonly StateSerializer Serializer = new();

    public static GrainId GrainOf(string operationId) => GrainId.Create("recognize.operation", $"op/{Customer}/{operationId}/");

    public static object[] Of(string operationId, long number, DateTime createdAt)
    {
        var key = new RowKey(Type, GrainOf(operationId));
        var state = new OperationState
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
        return [key.KeyHash, 0L, 0L, key.TypeHash, key.Type, key.Key, ServiceId, Serializer.Serialize(state).ToArray(), createdAt, 1, state.HistoryKey(Customer)];
    }
}
