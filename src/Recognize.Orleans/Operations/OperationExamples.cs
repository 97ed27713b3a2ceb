using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Operations;

/// <summary>The bodies of a payment that is approved, as the document shows them.</summary>
internal static class OperationExamples
{
    public static readonly CreateOperationBody Payment = new()
    {
        OperationId = ApiExamples.OperationId,
        ExternalUserId = ApiExamples.ExternalUserId,
        OperationPayload = ApiExamples.Payload,
        AuthType = "biom",
        ExpiresIn = ApiExamples.ExpiresIn,
    };

    public static readonly DecisionBody Approval = new()
    {
        UserId = ApiExamples.UserId,
        Decision = "approve",
        AuthType = "biom",
        OperationPayload = ApiExamples.Payload,
    };

    public static readonly OperationBody Approved = new()
    {
        Id = 1,
        Timestamp = ApiExamples.CreatedAt,
        NodeId = "node-1",
        UserId = ApiExamples.UserId,
        ApiKey = DemoCustomer.SdkApiKey,
        OperationId = ApiExamples.OperationId,
        State = "approved",
        Result = true,
        ExternalUserId = ApiExamples.ExternalUserId,
        OperationPayload = ApiExamples.Payload,
        AuthType = "biom",
        Status = "approved",
        DecidedAt = ApiExamples.DecidedAt,
        ExpiresAt = ApiExamples.ExpiresAt,
    };
}
