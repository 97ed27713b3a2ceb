using System.Text.Json;
using System.Text.Json.Serialization;

namespace Recognize.Orleans.Operations;

/// <summary>What is stored of an operation, and every rule about it. Immutable: the storage serializes it off the grain's turn.</summary>
internal sealed record OperationState
{
    [JsonPropertyName("v")]
    public int Format { get; init; } = Storage.StateSerializer.Format;

    public long Id { get; init; }

    public DateTimeOffset CreatedAt { get; init; }

    public string NodeId { get; init; } = "";

    public string UserId { get; init; } = "";

    public string OperationId { get; init; } = "";

    public string? ExternalUserId { get; init; }

    /// <summary>The payload, unless it holds NUL.</summary>
    public string? Payload { get; init; }

    /// <summary>A payload with NUL as base64 of its UTF-8, because PostgreSQL reads no JSON that holds an escaped NUL.</summary>
    public byte[]? PayloadBase64 { get; init; }

    /// <summary>The authentication that is demanded.</summary>
    public AuthType? AuthType { get; init; }

    public string Attempt { get; init; } = "";

    public string? IdempotencyKey { get; init; }

    public OperationStatus Status { get; init; } = OperationStatus.Pending;

    public DateTimeOffset? DecidedAt { get; init; }

    /// <summary>The authentication that was used.</summary>
    public AuthType? DecidedWith { get; init; }

    /// <summary>Members that a newer version wrote: kept, so that an older silo does not erase them.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }

    public static OperationState Create(string operationId, CreateOperation request, long id, string nodeId, DateTimeOffset now)
    {
        var hasNul = request.Payload?.Contains('\0', StringComparison.Ordinal) is true;
        return new()
        {
            Id = id,
            CreatedAt = WholeMilliseconds(now),
            NodeId = nodeId,
            UserId = request.UserId,
            OperationId = operationId,
            ExternalUserId = request.ExternalUserId,
            Payload = hasNul ? null : request.Payload,
            PayloadBase64 = hasNul ? System.Text.Encoding.UTF8.GetBytes(request.Payload!) : null,
            AuthType = request.AuthType,
            Attempt = request.Attempt,
            IdempotencyKey = request.IdempotencyKey,
        };
    }

    /// <summary>What a create of an operation that exists already is told.</summary>
    public OperationOutcome CreateAgain(CreateOperation request)
    {
        var sentAgain = request.Attempt == Attempt || (request.IdempotencyKey is not null && request.IdempotencyKey == IdempotencyKey);
        if (!sentAgain)
        {
            return OperationOutcome.Duplicate;
        }

        var same = request.UserId == UserId
            && request.ExternalUserId == ExternalUserId
            && request.Payload == FullPayload()
            && request.AuthType == AuthType;
        return same ? OperationOutcome.Done : OperationOutcome.IdempotencyKeyReused;
    }

    public (OperationOutcome Outcome, OperationState Next) Decide(Decision decision, DateTimeOffset now)
    {
        if (OperationLimits.FaultInAuthType(decision.AuthType) is { } fault)
        {
            throw new ArgumentException(fault, nameof(decision));
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

        if (Status is not OperationStatus.Pending)
        {
            // "Yes, with a PIN" is not what was recorded as "yes, with biometrics".
            var same = Status == status && DecidedWith == decision.AuthType;
            return (same ? OperationOutcome.Done : OperationOutcome.AlreadyDecided, this);
        }

        return (OperationOutcome.Done, this with
        {
            Status = status,
            DecidedAt = WholeMilliseconds(now),
            DecidedWith = decision.AuthType,
        });
    }

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
    };

    private string? FullPayload() =>
        PayloadBase64 is null ? Payload : System.Text.Encoding.UTF8.GetString(PayloadBase64);

    // The API shows milliseconds; storing no more keeps what is compared and sorted equal to what is shown.
    private static DateTimeOffset WholeMilliseconds(DateTimeOffset time) =>
        new(time.UtcTicks - (time.UtcTicks % TimeSpan.TicksPerMillisecond), TimeSpan.Zero);
}
