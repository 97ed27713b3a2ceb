using System.Buffers;
using System.Text.Json;
using Recognize.Orleans.Api;

namespace Recognize.Orleans.Operations;

/// <summary>
/// How many bytes an operation takes on a pending list as it is sent: its JSON and the comma behind it. Exact, because
/// it is what a user's limit counts.
/// </summary>
internal static class SentBytes
{
    /// <summary>The brackets of a list.</summary>
    public const int OfBrackets = 2;

    // Characters that JSON sends as one byte each. Nearly every text has no others.
    private static readonly SearchValues<char> Plain = SearchValues.Create([.. Enumerable.Range(' ', '~' - ' ' + 1).Select(code => (char)code).Except(['"', '\\'])]);

    public static int Of(Operation operation) =>
        Of(operation.OperationId, operation.Payload, operation.ExternalUserId, operation.AuthType, operation.ExpiresAt is not null);

    /// <param name="request">A create.</param>
    /// <param name="hasDeadline">Whether its operation will have a deadline.</param>
    public static int Of(CreateOperation request, bool hasDeadline) =>
        Of(request.OperationId, request.Payload, request.ExternalUserId, request.AuthType, hasDeadline);

    /// <summary>The bytes of a text within its quotes.</summary>
    public static int Of(string text) =>
        text.AsSpan().ContainsAnyExcept(Plain) ? JsonEncodedText.Encode(text, ApiJson.Encoder).EncodedUtf8Bytes.Length : text.Length;

    private static int Of(string operationId, string? payload, string? externalUserId, AuthType? authType, bool hasDeadline) =>
        "{}".Length
        + Member("operationId", operationId)
        + Member("operationPayload", payload)
        + Member("externalUserId", externalUserId)
        + Member("authType", AuthTypeText.Of(authType))
        + Member("expiresAt", hasDeadline ? "2025-05-21T10:30:00.000" : null);

    // The comma behind the last member stands for the one behind the operation.
    private static int Member(string name, string? value) => value is null ? 0 : "\"\":\"\",".Length + name.Length + Of(value);
}
