using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Customers;

/// <summary>
/// The customer that a newcomer finds in the Development environment. Its keys are public, so it exists only while every URL
/// of the service is loopback.
/// </summary>
internal static class DemoCustomer
{
    public const string Name = "demo";

    public const string SdkApiKey = "demo-sdk-key";

    /// <summary>Creates, lists and reads.</summary>
    public const string BackendKey = "demo-backend-key";

    /// <summary>Lists and decides.</summary>
    public const string ApproverKey = "demo-approver-key";

    public static bool IsOffered(IHostEnvironment environment, Settings settings) =>
        environment.IsDevelopment() && settings.IsLocalOnly;

    public static bool IsDemoKey(string sha256) => sha256 == CustomerDirectory.HashOf(BackendKey) || sha256 == CustomerDirectory.HashOf(ApproverKey);

    public static void AddTo(IDictionary<string, ApiKey> keys, ISet<string> sdkApiKeys)
    {
        var customer = new Customer(Name, SdkApiKey);
        sdkApiKeys.Add(SdkApiKey);
        foreach (var (key, scopes) in new[] { (BackendKey, Scopes.Operations), (ApproverKey, Scopes.Decisions) })
        {
            var hash = CustomerDirectory.HashOf(key);
            keys.Add(hash, new(customer, scopes, hash));
        }
    }
}
