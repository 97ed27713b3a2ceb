using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Customers;

public sealed class CustomerSettingsTests
{
    private const string Acme = "Recognize:Customers:Acme";

    [Fact]
    public void Several_keys_of_a_customer_are_in_force_at_once()
    {
        var keys = CustomerDirectory.Read(Configuration(), withDemo: false, TestCustomers.Scopes, []);

        var (both, operations) = (TestCustomers.Hash(TestCustomers.AcmeBoth), TestCustomers.Hash(TestCustomers.AcmeOperations));
        Assert.Equal(new ApiKey(new("acme", TestCustomers.AcmeSdkKey), TestCustomers.Scopes.ToHashSet(), both), keys[both]);
        Assert.Equal(new ApiKey(new("acme", TestCustomers.AcmeSdkKey), new HashSet<Scope> { OperationScopes.Operations }, operations), keys[operations]);
        Assert.Equal("globex", keys[TestCustomers.Hash(TestCustomers.GlobexBoth)].Customer.Name);
        Assert.Equal(4, keys.Count);
    }

    [Theory]
    [InlineData($"{Acme}:SdkApiKey", "", $"{Acme}:SdkApiKey must be 1 to 256 visible ASCII characters")]
    [InlineData($"{Acme}:SdkApiKey", TestCustomers.GlobexSdkKey, "SdkApiKey is used by two customers")]
    [InlineData($"{Acme}:Keys:0:Sha256", "", $"{Acme}:Keys:0:Sha256 must be the SHA-256 of the key")]
    [InlineData($"{Acme}:Keys:0:Sha256", "acme-key-for-both", $"{Acme}:Keys:0:Sha256 must be the SHA-256 of the key")]
    [InlineData($"{Acme}:Keys:0:Sha256", "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855", "lower-case")]
    [InlineData($"{Acme}:Keys:1:Scopes:0", "operation", $"{Acme}:Keys:1:Scopes:0 must be 'operations' or 'decisions'")]
    [InlineData($"{Acme}:Keys:0:Scope", "operations", $"{Acme}:Keys:0:Scope is not a setting")]
    [InlineData($"{Acme}:SdkKey", "x", $"{Acme}:SdkKey is not a setting")]
    [InlineData($"{Acme}:SdkApiKey", TestCustomers.AcmeBoth, "is shown in answers and must not be one of the keys")]
    [InlineData("Recognize:Customers:\u212A:SdkApiKey", "x", "1 to 32 of the characters a-z, 0-9 and '-'")]
    [InlineData("Recognize:Customers:Acme Inc:SdkApiKey", "x", "1 to 32 of the characters a-z, 0-9 and '-'")]
    [InlineData("Recognize:Customers:a23456789-123456789-123456789-123:SdkApiKey", "x", "1 to 32 of the characters a-z, 0-9 and '-'")]
    public void A_fault_names_its_setting_and_never_a_key(string key, string value, string sentence)
    {
        var faults = Faults((key, value));

        Assert.Contains(faults, fault => fault.Contains(sentence, StringComparison.Ordinal));
        Assert.DoesNotContain(faults, fault => fault.Contains("acme-key-for-both", StringComparison.Ordinal));
    }

    [Fact]
    public void A_hash_may_be_used_once_even_by_one_customer()
    {
        var hash = TestCustomers.Hash(TestCustomers.AcmeBoth);

        Assert.Equal($"{Acme}:Keys:1:Sha256 is used twice.", Assert.Single(Faults(($"{Acme}:Keys:1:Sha256", hash))));
        Assert.Equal("Recognize:Customers:globex:Keys:0:Sha256 is used twice.", Assert.Single(Faults(("Recognize:Customers:globex:Keys:0:Sha256", hash))));
    }

    [Fact]
    public void A_key_without_a_scope_is_a_fault() =>
        Assert.Equal(
            [$"{Acme}:Keys:3:Scopes must hold 'operations' or 'decisions', or several of them."],
            Faults(($"{Acme}:Keys:3:Sha256", TestCustomers.Hash("new"))));

    [Fact]
    public void A_customer_without_a_key_is_a_fault() =>
        Assert.Equal(["Recognize:Customers:initech:Keys is empty: the customer could not call the service."], Faults(("Recognize:Customers:initech:SdkApiKey", "initech-sdk")));

    [Fact]
    public void A_service_without_customers_is_a_fault()
    {
        var faults = new List<string>();

        CustomerDirectory.Read(new ConfigurationBuilder().Build(), withDemo: false, TestCustomers.Scopes, faults);

        Assert.Contains("Recognize:Customers is empty", Assert.Single(faults), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("demo-backend-key")]
    [InlineData("demo-approver-key")]
    public void A_demo_key_is_refused_outside_development(string key) =>
        Assert.Contains("which everybody knows", Assert.Single(Faults(($"{Acme}:Keys:0:Sha256", TestCustomers.Hash(key)))), StringComparison.Ordinal);

    [Fact]
    public void Beside_the_demo_customer_its_name_and_keys_are_taken()
    {
        var faults = new List<string>();

        CustomerDirectory.Read(
            Configuration(("Recognize:Customers:Demo:SdkApiKey", DemoCustomer.SdkApiKey), ("Recognize:Customers:Demo:Keys:0:Sha256", TestCustomers.Hash(OperationScopes.Operations.DemoKey)), ("Recognize:Customers:Demo:Keys:0:Scopes:0", "operations")),
            withDemo: true,
            TestCustomers.Scopes,
            faults);

        Assert.Equal(3, faults.Count);
    }

    private static List<string> Faults(params (string Key, string Value)[] changes)
    {
        var faults = new List<string>();
        CustomerDirectory.Read(Configuration(changes), withDemo: false, TestCustomers.Scopes, faults);
        return faults;
    }

    private static IConfiguration Configuration(params (string Key, string Value)[] changes) => new ConfigurationBuilder()
        .AddInMemoryCollection(TestCustomers.Settings)
        .AddInMemoryCollection(changes.Select(change => KeyValuePair.Create(change.Key, (string?)change.Value)))
        .Build();
}
