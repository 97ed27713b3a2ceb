namespace Recognize.Orleans.Api;

/// <summary>The values of the document's examples. One payment goes through all of them, so that they can be sent one after the other.</summary>
internal static class ApiExamples
{
    public const string UserId = "A1B2C3D4E5F6";
    public const string OperationId = "txn-2025-0001";
    public const string ExternalUserId = "customer-4711";
    public const string Payload = "Pay $500 to account 1234";
    public const string CreatedAt = "2025-05-21T10:30:00.000";
    public const string DecidedAt = "2025-05-21T10:30:42.512";
    public const string ExpiresAt = "2025-05-21T10:35:00.000";
    public const int ExpiresIn = 300;
}
