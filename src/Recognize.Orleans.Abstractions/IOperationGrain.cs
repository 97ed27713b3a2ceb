using Orleans.Concurrency;

namespace Recognize.Orleans;

/// <summary>
/// One operation of one customer. Once <see cref="IUserGrain.CreateAsync"/> has created it, this is its only writer. Reach
/// it with <see cref="GrainFactoryExtensions.GetOperation"/>.
/// </summary>
/// <remarks>
/// Every call may be repeated and then reports what the first one did. When a call fails with an exception, its outcome
/// is unknown: repeat it to learn the outcome.
/// </remarks>
[GrainInterfaceType("recognize.operation")]
public interface IOperationGrain : IGrainWithStringKey
{
    /// <summary>Records the user's decision. Only the first decision counts, and it never changes again.</summary>
    /// <exception cref="ArgumentException">
    /// The verdict or the authentication type does not exist; nothing was changed.
    /// </exception>
    [Alias("decide")]
    Task<OperationOutcome> DecideAsync(Decision decision);

    /// <summary>
    /// Cancels the operation. Only a pending operation can be cancelled. Cancelling it again returns
    /// <see cref="OperationOutcome.Done"/>.
    /// </summary>
    /// <param name="reason">Why it is cancelled, in at most 256 UTF-16 units; may be absent.</param>
    /// <exception cref="ArgumentException">
    /// The reason breaks a rule of <see cref="OperationLimits"/>; nothing was changed.
    /// </exception>
    [Alias("cancel")]
    Task<OperationOutcome> CancelAsync(string? reason);

    /// <summary>
    /// The current operation, or <see langword="null"/> when it does not exist. Shows only what is durable: the first
    /// call after the deadline writes the expiry before it returns it.
    /// </summary>
    // Reads do not wait for a write of the operation.
    [AlwaysInterleave]
    [Alias("get")]
    Task<Operation?> GetAsync();
}

/// <summary>The request to ask a user something.</summary>
[GenerateSerializer, Immutable, Alias("recognize.create-operation")]
public sealed record CreateOperation
{
    /// <summary>The client's id of the operation, new for the customer.</summary>
    [Id(0)]
    public required string OperationId { get; init; }

    /// <summary>The customer's own name for the user, at most 256 UTF-16 units.</summary>
    [Id(1)]
    public string? ExternalUserId { get; init; }

    /// <summary>What the user is asked to approve: any text of at most 16,384 UTF-16 units.</summary>
    [Id(2)]
    public string? Payload { get; init; }

    /// <summary>The only type of authentication that may decide the operation; absent means either.</summary>
    [Id(3)]
    public AuthType? AuthType { get; init; }

    /// <summary>
    /// Names this attempt to create the operation: 1 to 64 visible ASCII characters, best a new GUID. A retry with the
    /// same name is answered like the first attempt, so a caller that lost the answer does not collide with itself.
    /// </summary>
    [Id(4)]
    public required string Attempt { get; init; }

    /// <summary>
    /// The client's own name for the attempt (the <c>Idempotency-Key</c> header): 1 to 255 visible ASCII characters.
    /// </summary>
    [Id(5)]
    public string? IdempotencyKey { get; init; }

    /// <summary>
    /// How long it can be decided, counted from its creation: 5 to 86,400 seconds; absent means the service's default.
    /// </summary>
    [Id(6)]
    public TimeSpan? ExpiresIn { get; init; }
}

/// <summary>A user's decision about an operation.</summary>
[GenerateSerializer, Immutable, Alias("recognize.decision")]
public sealed record Decision
{
    /// <summary>Who decided; must be the user of the operation.</summary>
    [Id(0)]
    public required string UserId { get; init; }

    /// <summary>What was decided.</summary>
    [Id(1)]
    public required Verdict Verdict { get; init; }

    /// <summary>How the user was authenticated for it.</summary>
    [Id(2)]
    public required AuthType AuthType { get; init; }

    /// <summary>What the user saw; compared with the operation's payload, unless it is absent.</summary>
    [Id(3)]
    public string? Payload { get; init; }

    /// <summary>Why the user refused, in at most 256 UTF-16 units; an approval has none.</summary>
    [Id(4)]
    public string? Reason { get; init; }
}

/// <summary>A copy of an operation as it was when its grain answered.</summary>
[GenerateSerializer, Immutable, Alias("recognize.operation")]
public sealed record Operation
{
    /// <summary>The service's own number of the operation: unique, positive, below 2^53.</summary>
    [Id(0)]
    public required long Id { get; init; }

    /// <summary>When it was created (UTC, whole milliseconds).</summary>
    [Id(1)]
    public required DateTimeOffset CreatedAt { get; init; }

    /// <summary>The name of the node that created it.</summary>
    [Id(2)]
    public required string NodeId { get; init; }

    /// <summary>The client's id of the operation, unique for the customer.</summary>
    [Id(3)]
    public required string OperationId { get; init; }

    /// <summary>The user who is asked.</summary>
    [Id(4)]
    public required string UserId { get; init; }

    /// <inheritdoc cref="CreateOperation.ExternalUserId"/>
    [Id(5)]
    public string? ExternalUserId { get; init; }

    /// <inheritdoc cref="CreateOperation.Payload"/>
    [Id(6)]
    public string? Payload { get; init; }

    /// <summary>
    /// Once it is decided, the authentication that was used; before that, the one that is demanded, if any.
    /// </summary>
    [Id(7)]
    public AuthType? AuthType { get; init; }

    /// <summary>Its current status.</summary>
    [Id(8)]
    public required OperationStatus Status { get; init; }

    /// <summary>
    /// When it was decided or cancelled; once it is expired, its deadline (UTC, whole milliseconds). Absent while it is
    /// pending.
    /// </summary>
    [Id(9)]
    public DateTimeOffset? DecidedAt { get; init; }

    /// <summary>
    /// The deadline (UTC, whole milliseconds): from this time on it cannot be decided. Absent: it has no deadline.
    /// </summary>
    [Id(10)]
    public DateTimeOffset? ExpiresAt { get; init; }

    /// <summary>Why it was denied or cancelled, if a reason was given.</summary>
    [Id(11)]
    public string? Reason { get; init; }
}

/// <summary>The status of an operation.</summary>
[GenerateSerializer, Alias("recognize.operation-status")]
public enum OperationStatus
{
    /// <summary>It waits for the user's decision.</summary>
    Pending = 1,

    /// <summary>The user approved it.</summary>
    Approved = 2,

    /// <summary>The user refused it.</summary>
    Denied = 3,

    /// <summary>Its deadline passed before a decision. No caller sees this status before it is stored.</summary>
    Expired = 4,

    /// <summary>The relying party cancelled it.</summary>
    Cancelled = 5,
}

/// <summary>What a user can answer.</summary>
[GenerateSerializer, Alias("recognize.verdict")]
public enum Verdict
{
    /// <summary>Yes.</summary>
    Approve = 1,

    /// <summary>No.</summary>
    Deny = 2,
}

/// <summary>How a user is authenticated for a decision.</summary>
[GenerateSerializer, Alias("recognize.auth-type")]
public enum AuthType
{
    /// <summary>Biometric authentication.</summary>
    Biom = 1,

    /// <summary>A PIN.</summary>
    Pin = 2,
}

/// <summary>
/// The outcome of a call that changes an operation. The numbers are on the wire: append, never renumber.
/// </summary>
[GenerateSerializer, Alias("recognize.operation-outcome")]
public enum OperationOutcome
{
    /// <summary>It is done, by this call or by an earlier send of the same call.</summary>
    Done = 1,

    /// <summary>The customer already has an operation with that id.</summary>
    Duplicate = 2,

    /// <summary>The idempotency key already created this operation, for another user or with other members.</summary>
    IdempotencyKeyReused = 3,

    /// <summary>The user has as many pending operations as the service allows.</summary>
    PendingLimitReached = 4,

    /// <summary>There is no such operation.</summary>
    NotFound = 5,

    /// <summary>It was already decided, differently.</summary>
    AlreadyDecided = 6,

    /// <summary>The operation asks another user.</summary>
    WrongUser = 7,

    /// <summary>The operation demands another type of authentication.</summary>
    AuthTypeNotAllowed = 8,

    /// <summary>The payload that the user saw is not the operation's.</summary>
    PayloadMismatch = 9,

    /// <summary>Its deadline has passed.</summary>
    Expired = 10,

    /// <summary>It was already cancelled.</summary>
    Cancelled = 11,

    /// <summary>It cannot be cancelled: the user has approved it.</summary>
    AlreadyApproved = 12,

    /// <summary>It cannot be cancelled: the user has denied it.</summary>
    AlreadyDenied = 13,

    /// <summary>The user's pending list has as many bytes, as it is sent, as the service allows.</summary>
    PendingBytesReached = 14,
}
