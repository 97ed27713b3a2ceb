using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations;

/// <summary>
/// The stored state of an operation, and every rule about it. Immutable, because the storage serializes it outside the
/// grain's turn.
/// </summary>
[GenerateSerializer, Immutable, Alias("recognize.operation-state")]
internal sealed record OperationState : IStoredState, IIndexedState
{
    /// <summary>The type of its rows.</summary>
    public const string Name = "operation";

    /// <summary>The kind of its rows, with which every index key of an operation begins.</summary>
    public const string Kind = "op/";

    /// <summary>The prefix of the owner keys of tombstones: it sorts behind every user.</summary>
    public const string Tombstones = $"{Kind}~/";

    [JsonPropertyName("v")]
    [Id(0)]
    public int Format { get; init; } = StateSerializer.Format;

    /// <summary>
    /// The places of this row: in its user's history, and the same among the user's pending operations until it ends. A
    /// tombstone is in no user's history, but behind all of them, in the order of removal.
    /// </summary>
    [Id(19)]
    public RowKeys Keys { get; init; }

    [Id(1)]
    public long Id { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    [Id(2)]
    public DateTimeOffset CreatedAt { get; init; }

    [Id(3)]
    public string NodeId { get; init; } = "";

    [Id(4)]
    public string UserId { get; init; } = "";

    [Id(5)]
    public string OperationId { get; init; } = "";

    [Id(6)]
    public string? ExternalUserId { get; init; }

    /// <summary>The payload, unless it contains NUL.</summary>
    [Id(7)]
    public string? Payload { get; init; }

    /// <summary>
    /// A payload that contains NUL, as base64 of its UTF-8: PostgreSQL cannot read JSON with an escaped NUL.
    /// </summary>
    [Id(8)]
    public byte[]? PayloadBase64 { get; init; }

    /// <summary>The authentication that is demanded.</summary>
    [JsonConverter(typeof(CamelCaseEnum<AuthType>))]
    [Id(9)]
    public AuthType? AuthType { get; init; }

    [Id(10)]
    public string Attempt { get; init; } = "";

    [Id(11)]
    public string? IdempotencyKey { get; init; }

    /// <summary>The lifetime that the create asked for, in seconds; absent: the service's default applied.</summary>
    [Id(12)]
    public int? ExpiresIn { get; init; }

    /// <summary>
    /// The deadline. The first call after it writes the expiry before it answers, so that no decision can follow that
    /// answer.
    /// </summary>
    [Id(13)]
    public DateTimeOffset? ExpiresAt { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingDefault)]
    [JsonConverter(typeof(CamelCaseEnum<OperationStatus>))]
    [Id(14)]
    public OperationStatus Status { get; init; } = OperationStatus.Pending;

    /// <summary>When it was decided or cancelled; for an expired operation, the deadline.</summary>
    [Id(15)]
    public DateTimeOffset? DecidedAt { get; init; }

    /// <summary>Why it was denied or cancelled.</summary>
    [Id(16)]
    public string? Reason { get; init; }

    /// <summary>The authentication that was used.</summary>
    [JsonConverter(typeof(CamelCaseEnum<AuthType>))]
    [Id(17)]
    public AuthType? DecidedWith { get; init; }

    /// <summary>
    /// When it was removed. Only a tombstone is left then: the number and this time. It keeps the id from being used
    /// again.
    /// </summary>
    [Id(18)]
    public DateTimeOffset? RemovedAt { get; init; }

    /// <summary>Members that a newer version wrote, kept so that an older silo does not erase them.</summary>
    // Not sent to grains: only an operation that was just created is, and it has none.
    [field: NonSerialized]
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }

    public static OperationState Create(UserKey user, CreateOperation request, long id, string nodeId, DateTimeOffset now, TimeSpan? lifetime = null)
    {
        var createdAt = WholeMilliseconds(now);
        var key = string.Create(CultureInfo.InvariantCulture, $"{PrefixOf(user)}{UtcMilliseconds.Text(createdAt)}/{id:D16}");
        var hasNul = request.Payload?.Contains('\0', StringComparison.Ordinal) is true;
        return new()
        {
            Keys = new(key, Open: key),
            Id = id,
            CreatedAt = createdAt,
            NodeId = nodeId,
            UserId = user.UserId,
            OperationId = request.OperationId,
            ExternalUserId = request.ExternalUserId,
            Payload = hasNul ? null : request.Payload,
            PayloadBase64 = hasNul ? System.Text.Encoding.UTF8.GetBytes(request.Payload!) : null,
            AuthType = request.AuthType,
            Attempt = request.Attempt,
            IdempotencyKey = request.IdempotencyKey,
            ExpiresIn = (int?)request.ExpiresIn?.TotalSeconds,
            ExpiresAt = createdAt + (request.ExpiresIn ?? lifetime),
        };
    }

    /// <summary>
    /// The prefix of all keys of a user's operations. The time and the number follow, in one length, so that keys sort
    /// by them.
    /// </summary>
    public static string PrefixOf(UserKey user) => $"{Kind}{user.Customer}/{user.UserId}/";

    /// <summary>The number of the operation with this key; 0 when the text is no such key.</summary>
    public static long NumberOf(string key) =>
        long.TryParse(key.AsSpan(key.LastIndexOf('/') + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0;

    /// <summary>
    /// Splits a key; the position is what follows <see cref="PrefixOf"/>. Null: it is no such key.
    /// </summary>
    public static (UserKey User, string Position)? ParseKey(string key) =>
        key.Split('/', 4) is [_, var customer, var userId, var position] ? (new(customer, userId), position) : null;

    public static string TombstonesAt(DateTimeOffset removed) => Tombstones + UtcMilliseconds.Text(removed);

    /// <summary>The outcome of a create when the operation already exists.</summary>
    public OperationOutcome Replay(string userId, CreateOperation request)
    {
        var sentAgain = request.Attempt == Attempt || (request.IdempotencyKey is not null && request.IdempotencyKey == IdempotencyKey);
        if (!sentAgain)
        {
            return OperationOutcome.Duplicate;
        }

        var same = userId == UserId
            && request.ExternalUserId == ExternalUserId
            && request.Payload == FullPayload()
            && request.AuthType == AuthType
            && (int?)request.ExpiresIn?.TotalSeconds == ExpiresIn;
        return same ? OperationOutcome.Done : OperationOutcome.IdempotencyKeyReused;
    }

    public (OperationOutcome Outcome, OperationState Next) Decide(Decision decision, DateTimeOffset now)
    {
        if ((OperationLimits.ErrorInAuthType(decision.AuthType) ?? ErrorInReason(decision)) is { } error)
        {
            throw new ArgumentException(error, nameof(decision));
        }

        if (decision.UserId != UserId)
        {
            return (OperationOutcome.WrongUser, this);
        }

        if (AuthType is { } demanded && decision.AuthType != demanded)
        {
            return (OperationOutcome.AuthTypeNotAllowed, this);
        }

        if (decision.Payload is { } seen && seen != FullPayload())
        {
            return (OperationOutcome.PayloadMismatch, this);
        }

        var status = decision.Verdict switch
        {
            Verdict.Approve => OperationStatus.Approved,
            Verdict.Deny => OperationStatus.Denied,
            _ => throw new ArgumentException($"Verdict {decision.Verdict} is unknown.", nameof(decision)),
        };

        var current = Expire(now);
        return current.Status switch
        {
            OperationStatus.Expired => (OperationOutcome.Expired, current),
            OperationStatus.Cancelled => (OperationOutcome.Cancelled, current),
            OperationStatus.Pending => (OperationOutcome.Done, this with
            {
                Keys = Keys with { Open = null },
                Status = status,
                DecidedAt = WholeMilliseconds(now),
                DecidedWith = decision.AuthType,
                Reason = decision.Reason,
            }),

            // "Approved with a PIN" is not the same decision as "approved with biometrics".
            _ => (Status == status && DecidedWith == decision.AuthType ? OperationOutcome.Done : OperationOutcome.AlreadyDecided, current),
        };
    }

    public (OperationOutcome Outcome, OperationState Next) Cancel(string? reason, DateTimeOffset now)
    {
        if (OperationLimits.ErrorInReason(reason) is { } error)
        {
            throw new ArgumentException(error, nameof(reason));
        }

        var current = Expire(now);
        return current.Status switch
        {
            OperationStatus.Pending => (OperationOutcome.Done, this with { Keys = Keys with { Open = null }, Status = OperationStatus.Cancelled, DecidedAt = WholeMilliseconds(now), Reason = reason }),
            OperationStatus.Expired => (OperationOutcome.Expired, current),
            OperationStatus.Cancelled => (OperationOutcome.Done, current),
            OperationStatus.Approved => (OperationOutcome.AlreadyApproved, current),
            OperationStatus.Denied => (OperationOutcome.AlreadyDenied, current),
            _ => throw new InvalidOperationException($"Status {Status} is unknown."),
        };
    }

    /// <summary>
    /// Whether its deadline is reached and it has not ended. No caller is told so before it is written.
    /// </summary>
    public bool IsOverdue(DateTimeOffset now) => Status is OperationStatus.Pending && ExpiresAt <= now;

    /// <summary>
    /// The expired state to write once the deadline is reached; this state if it has ended or has time left.
    /// </summary>
    public OperationState Expire(DateTimeOffset now) => IsOverdue(now)
        ? this with { Keys = Keys with { Open = null }, Status = OperationStatus.Expired, DecidedAt = ExpiresAt }
        : this;

    /// <summary>Whether it had ended or was overdue at that time, and is not removed yet.</summary>
    public bool HadEndedBy(DateTimeOffset time) => RemovedAt is null && Expire(time).DecidedAt <= time;

    /// <summary>Its tombstone: a few bytes, and nothing that a customer or a user sent.</summary>
    public OperationState Remove(DateTimeOffset now) => new()
    {
        Keys = new(string.Create(CultureInfo.InvariantCulture, $"{TombstonesAt(now)}/{Id:D16}")),
        Id = Id,
        RemovedAt = WholeMilliseconds(now),

        // Members without a value are not written.
        Status = default,
        NodeId = null!,
        UserId = null!,
        OperationId = null!,
        Attempt = null!,
    };

    public Operation ToOperation() => new()
    {
        Id = Id,
        CreatedAt = CreatedAt,
        NodeId = NodeId,
        OperationId = OperationId,
        UserId = UserId,
        ExternalUserId = ExternalUserId,
        Payload = FullPayload(),
        AuthType = DecidedWith ?? AuthType,
        Status = Status,
        DecidedAt = DecidedAt,
        ExpiresAt = ExpiresAt,
        Reason = Reason,
    };

    private static string? ErrorInReason(Decision decision) =>
        decision is { Verdict: Verdict.Approve, Reason: not null } ? "reason goes with a denial only." : OperationLimits.ErrorInReason(decision.Reason);

    private string? FullPayload() =>
        PayloadBase64 is null ? Payload : System.Text.Encoding.UTF8.GetString(PayloadBase64);

    // The API shows milliseconds. Storing nothing finer keeps what is compared and sorted equal to what is shown.
    private static DateTimeOffset WholeMilliseconds(DateTimeOffset time) =>
        new(time.UtcTicks - (time.UtcTicks % TimeSpan.TicksPerMillisecond), TimeSpan.Zero);
}
