using System.Security.Cryptography;
using System.Text;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Operations;

namespace Recognize.Orleans.Fixtures;

/// <summary>Two customers, each with a key for both scopes and a key for each.</summary>
internal static class TestCustomers
{
    public const string AcmeSdkKey = "acme-sdk";
    public const string AcmeBoth = "acme-key-for-both";
    public const string AcmeOperations = "acme-key-for-operations";
    public const string AcmeDecisions = "acme-key-for-decisions";
    public const string GlobexSdkKey = "globex-sdk";
    public const string GlobexBoth = "globex-key-for-both";

    public static IReadOnlyDictionary<string, string?> Settings { get; } = new Dictionary<string, string?>
    {
        ["Recognize:Customers:Acme:SdkApiKey"] = AcmeSdkKey,
        ["Recognize:Customers:Acme:Keys:0:Sha256"] = Hash(AcmeBoth),
        ["Recognize:Customers:Acme:Keys:0:Scopes:0"] = "operations",
        ["Recognize:Customers:Acme:Keys:0:Scopes:1"] = "decisions",
        ["Recognize:Customers:Acme:Keys:1:Sha256"] = Hash(AcmeOperations),
        ["Recognize:Customers:Acme:Keys:1:Scopes:0"] = "operations",
        ["Recognize:Customers:Acme:Keys:2:Sha256"] = Hash(AcmeDecisions),
        ["Recognize:Customers:Acme:Keys:2:Scopes:0"] = "decisions",
        ["Recognize:Customers:globex:SdkApiKey"] = GlobexSdkKey,
        ["Recognize:Customers:globex:Keys:0:Sha256"] = Hash(GlobexBoth),
        ["Recognize:Customers:globex:Keys:0:Scopes:0"] = "operations",
        ["Recognize:Customers:globex:Keys:0:Scopes:1"] = "decisions",
    };

    internal static IReadOnlyList<Scope> Scopes => [OperationScopes.Operations, OperationScopes.Decisions];

    /// <summary>The same settings with every customer left out.</summary>
    public static Dictionary<string, string?> None => Settings.Keys.ToDictionary(key => key, _ => (string?)null);

    public static string Hash(string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));
}
