using System.Buffers;
using System.Text;
using System.Text.RegularExpressions;

namespace Recognize.Orleans;

/// <summary>
/// The limits of the API, and the rules that make sure that a text is kept exactly as it was sent. Lengths count UTF-16
/// code units.
/// </summary>
/// <remarks>
/// Each method returns <see langword="null"/> for a valid value, or a sentence that names the member and its rule.
/// </remarks>
public static partial class OperationLimits
{
    /// <summary>The longest <c>operationId</c>.</summary>
    public const int OperationId = 256;

    /// <summary>The longest <c>externalUserId</c>.</summary>
    public const int ExternalUserId = 256;

    /// <summary>The longest <c>operationPayload</c>.</summary>
    public const int Payload = 16_384;

    /// <summary>The most digits of a <c>userId</c>.</summary>
    public const int UserId = 128;

    /// <summary>The longest <c>reason</c>.</summary>
    public const int Reason = 256;

    /// <summary>The shortest <c>expiresIn</c>, in seconds.</summary>
    public const int ShortestLifetime = 5;

    /// <summary>The longest <c>expiresIn</c>, in seconds: a day.</summary>
    public const int LongestLifetime = 86_400;

    /// <summary>The most operations on a page of the history.</summary>
    public const int Page = 100;

    /// <summary>The longest <c>Idempotency-Key</c>.</summary>
    public const int IdempotencyKey = 255;

    /// <summary>The longest name of an attempt to create an operation.</summary>
    public const int Attempt = 64;

    /// <summary>The longest name of a customer.</summary>
    public const int Customer = 32;

    /// <summary>The error for every invalid <c>expiresIn</c>, whatever is wrong with it.</summary>
    internal static readonly string ExpiresInRule = FormattableString.Invariant($"expiresIn must be a whole number of seconds from {ShortestLifetime} to {LongestLifetime}.");

    private static readonly SearchValues<char> UpperHex = SearchValues.Create("0123456789ABCDEF");
    private static readonly SearchValues<char> Control = SearchValues.Create([.. Enumerable.Range(0, char.MaxValue + 1).Select(code => (char)code).Where(char.IsControl)]);
    private static readonly SearchValues<char> CustomerName = SearchValues.Create("abcdefghijklmnopqrstuvwxyz0123456789-");

    /// <summary>Validates a <c>userId</c>.</summary>
    public static string? ErrorInUserId(string? value) =>
        value is { Length: > 0 and <= UserId } && !value.AsSpan().ContainsAnyExcept(UpperHex)
            ? null
            : $"userId must be 1 to {UserId} upper-case hexadecimal digits.";

    /// <summary>Validates the name of a customer.</summary>
    public static string? ErrorInCustomer(string? value) =>
        value is { Length: > 0 and <= Customer } && !value.AsSpan().ContainsAnyExcept(CustomerName)
            ? null
            : $"A customer's name must be 1 to {Customer} of the characters a-z, 0-9 and '-'.";

    /// <summary>Validates an <c>operationId</c>.</summary>
    public static string? ErrorInOperationId(string? value) => value switch
    {
        null => "operationId is required.",
        _ when string.IsNullOrWhiteSpace(value) => "operationId must not be blank.",
        // A URL cannot carry them: clients and proxies remove dot segments, percent-encoded or not (RFC 3986, 5.2.4).
        "." or ".." => "operationId must not be '.' or '..', which no URL can carry.",
        _ => ErrorInName("operationId", value, OperationId),
    };

    /// <summary>Validates an <c>externalUserId</c>, which may be absent.</summary>
    public static string? ErrorInExternalUserId(string? value) =>
        value is null ? null : ErrorInName("externalUserId", value, ExternalUserId);

    /// <summary>Validates an <c>operationPayload</c>, which may be absent.</summary>
    public static string? ErrorInPayload(string? value) => value switch
    {
        null => null,
        { Length: > Payload } => $"operationPayload must be at most {Payload} UTF-16 units long; it has {value.Length}.",
        _ => ErrorInUnicode("operationPayload", value),
    };

    /// <summary>Validates a <c>reason</c>, which may be absent.</summary>
    public static string? ErrorInReason(string? value) => value is null ? null : ErrorInName("reason", value, Reason);

    /// <summary>Validates an <c>expiresIn</c>, which may be absent.</summary>
    public static string? ErrorInExpiresIn(TimeSpan? value) =>
        value is null || (value.Value.Ticks % TimeSpan.TicksPerSecond == 0 && value.Value.TotalSeconds is >= ShortestLifetime and <= LongestLifetime)
            ? null
            : ExpiresInRule;

    /// <summary>Validates the <c>limit</c> of a page.</summary>
    public static string? ErrorInLimit(int value) => value is >= 1 and <= Page ? null : $"limit must be a whole number from 1 to {Page}.";

    /// <summary>Validates a position in the history, which may be absent.</summary>
    public static string? ErrorInCursor(string? value) =>
        value is null || PositionPattern().IsMatch(value) ? null : "cursor must be one that a page of this list has ended with.";

    /// <summary>Validates an <c>Idempotency-Key</c>, which may be absent.</summary>
    public static string? ErrorInIdempotencyKey(string? value) =>
        value is null || (value is { Length: > 0 and <= IdempotencyKey } && !value.AsSpan().ContainsAnyExceptInRange('!', '~'))
            ? null
            : $"Idempotency-Key must be 1 to {IdempotencyKey} visible ASCII characters, sent once.";

    /// <summary>Validates the name of an attempt.</summary>
    public static string? ErrorInAttempt(string? value) =>
        value is { Length: > 0 and <= Attempt } && !value.AsSpan().ContainsAnyExceptInRange('!', '~')
            ? null
            : $"The attempt must be named with 1 to {Attempt} visible ASCII characters.";

    /// <summary>Validates an authentication type, which may be absent.</summary>
    public static string? ErrorInAuthType(AuthType? value) =>
        value is null or AuthType.Biom or AuthType.Pin ? null : "authType must be Biom or Pin.";

    /// <summary>Validates a create; reports the first rule that it breaks.</summary>
    public static string? ErrorIn(CreateOperation request)
    {
        ArgumentNullException.ThrowIfNull(request);
        return ErrorInOperationId(request.OperationId)
            ?? ErrorInExternalUserId(request.ExternalUserId)
            ?? ErrorInPayload(request.Payload)
            ?? ErrorInAuthType(request.AuthType)
            ?? ErrorInAttempt(request.Attempt)
            ?? ErrorInIdempotencyKey(request.IdempotencyKey)
            ?? ErrorInExpiresIn(request.ExpiresIn);
    }

    [GeneratedRegex(@"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z/[0-9]{16}\z")]
    private static partial Regex PositionPattern();

    private static string? ErrorInName(string member, string value, int longest) => value switch
    {
        _ when value.Length > longest => $"{member} must be at most {longest} UTF-16 units long; it has {value.Length}.",
        _ when value.AsSpan().ContainsAny(Control) => $"{member} must not hold control characters.",
        _ => ErrorInUnicode(member, value),
    };

    // An unpaired surrogate has no UTF-8 form, so no database or client would return it.
    private static string? ErrorInUnicode(string member, string value)
    {
        // Only the text from the first surrogate on is decoded; most texts have none.
        var first = value.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF');
        for (var rest = first < 0 ? [] : value.AsSpan(first); !rest.IsEmpty;)
        {
            if (Rune.DecodeFromUtf16(rest, out _, out var length) != System.Buffers.OperationStatus.Done)
            {
                return $"{member} must be valid Unicode: it holds half of a surrogate pair.";
            }

            rest = rest[length..];
        }

        return null;
    }
}
