using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Operations;

/// <summary>What a key may do with operations.</summary>
internal static class OperationScopes
{
    /// <summary>Create, cancel, list and read operations: the relying party.</summary>
    public static readonly Scope Operations = new("operations", DemoKey: "demo-backend-key");

    /// <summary>See a user's pending operations and report decisions: the approver.</summary>
    public static readonly Scope Decisions = new("decisions", DemoKey: "demo-approver-key");
}
