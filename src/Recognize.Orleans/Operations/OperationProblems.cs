using Recognize.Orleans.Api;

namespace Recognize.Orleans.Operations;

/// <summary>The error answers of the calls about operations.</summary>
internal static class OperationProblems
{
    public static readonly Problem WrongUser = new(400, "wrong-user", "The operation asks another user");
    public static readonly Problem AuthTypeNotAllowed = new(400, "auth-type-not-allowed", "The operation demands another type of authentication");
    public static readonly Problem PayloadMismatch = new(400, "payload-mismatch", "The payload is not the operation's");
    public static readonly Problem NotFound = new(404, "operation-not-found", "There is no such operation");
    public static readonly Problem Exists = new(409, "operation-exists", "The operation exists already");
    public static readonly Problem IdempotencyKeyReused = new(409, "idempotency-key-reused", "The idempotency key was used for other content");
    public static readonly Problem AlreadyDecided = new(409, "operation-already-decided", "The operation is decided already");
    public static readonly Problem Expired = new(409, "operation-expired", "The operation's deadline has passed");
    public static readonly Problem Cancelled = new(409, "operation-cancelled", "The operation is cancelled");
    public static readonly Problem PendingLimitReached = new(409, "pending-limit-reached", "The user has too many pending operations");
    public static readonly Problem PendingBytesReached = new(409, "pending-bytes-reached", "The user's pending list is too large");
}
