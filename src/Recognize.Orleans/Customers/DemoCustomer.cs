namespace Recognize.Orleans.Customers;

/// <summary>
/// The customer that a newcomer finds in the Development environment. Its keys are public, so it exists only while every URL
/// of the service is loopback.
/// </summary>
internal static class DemoCustomer
{
    public const string Name = "demo";

    public const string SdkApiKey = "demo-sdk-key";

    public static bool IsOffered(IHostEnvironment environment, bool isLocalOnly) => environment.IsDevelopment() && isLocalOnly;

    public static bool IsDemoKey(string sha256, IEnumerable<Scope> scopes) => scopes.Any(scope => sha256 == CustomerDirectory.HashOf(scope.DemoKey));

    public static void AddTo(IDictionary<string, ApiKey> keys, ISet<string> sdkApiKeys, IEnumerable<Scope> scopes)
    {
        var customer = new Customer(Name, SdkApiKey);
        sdkApiKeys.Add(SdkApiKey);
        foreach (var scope in scopes)
        {
            var hash = CustomerDirectory.HashOf(scope.DemoKey);
            keys.Add(hash, new(customer, new HashSet<Scope> { scope }, hash));
        }
    }
}
