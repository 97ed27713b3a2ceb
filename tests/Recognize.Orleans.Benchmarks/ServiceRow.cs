using Recognize.Orleans.Operations;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Benchmarks;

/// <summary>A row of OrleansStorage as the service writes one.</summary>
internal static class ServiceRow
{
    public const string Customer = "bench";
    public const string ServiceId = "recognize";

    // Nothing here is pending or due, so those keys stay empty.
    public static readonly string[] Columns =
    [
        "GrainIdHash", "GrainIdN0", "GrainIdN1", "GrainTypeHash", "GrainTypeString", "GrainIdExtensionString", "ServiceId", "PayloadBinary", "ModifiedOn", "Version", "OwnerKey",
    ];

    private static readonly StateSerializer Serializer = new(StateJson.Default);

    public static GrainId GrainOf(string operationId) => GrainId.Create("recognize.operation", $"op/{Customer}/{operationId}/");

    public static object[] Of(string operationId, long number, DateTime createdAt) => Of(GrainOf(operationId), StateOf(operationId, number, createdAt), createdAt);

    /// <summary>What is left of the same operation once it was removed.</summary>
    public static object[] OfTombstone(string operationId, long number, DateTime removedAt) =>
        Of(GrainOf(operationId), StateOf(operationId, number, removedAt).Remove(removedAt), removedAt);

    private static object[] Of(GrainId grain, OperationState state, DateTime modifiedOn)
    {
        var key = new RowKey(OperationState.Name, grain);
        var payload = Serializer.Serialize(state).ToArray();
        return [key.KeyHash, 0L, 0L, key.TypeHash, key.Type, key.Key, ServiceId, payload, modifiedOn, 1, state.Keys.Owner!];
    }

    private static OperationState StateOf(string operationId, long number, DateTime createdAt)
    {
        var user = new UserKey(Customer, Requests.PastUser(number));
        var request = new CreateOperation
        {
            OperationId = operationId,
            ExternalUserId = Requests.ExternalUserId,
            Payload = Requests.Payload,
            Attempt = "00000000000000000000000000000000",
        };
        return OperationState.Create(user, request, number + 1, "seed", createdAt)
            .Decide(new() { UserId = user.UserId, Verdict = Verdict.Approve, AuthType = AuthType.Biom }, createdAt).Next;
    }
}
