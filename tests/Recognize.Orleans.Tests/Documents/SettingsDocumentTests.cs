using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Primitives;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Documents;

public sealed class SettingsDocumentTests
{
    private static readonly string[] Sections = ["Recognize:", "ConnectionStrings:"];

    private static readonly IReadOnlyList<string> Documented =
        [.. Repository.Read("docs/operations.md").RowsUnder("Settings").Select(row => row[0].Trim('`')).Where(IsOurs)];

    [Fact]
    public void Every_setting_that_is_read_is_documented_and_no_other_is()
    {
        var configuration = new Recorder(new ConfigurationBuilder().Build());
        var faults = new List<string>();

        TestSettings.Read(configuration, "/srv", faults);

        Assert.Empty(faults);
        Assert.Equal(
            configuration.Read.Where(IsOurs).Order(StringComparer.Ordinal),
            Documented.Where(setting => !IsOfCustomers(setting)).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void The_settings_of_a_customer_that_are_documented_make_a_customer()
    {
        var values = new Dictionary<string, string>
        {
            ["SdkApiKey"] = "acme-sdk-key",
            ["Sha256"] = new('a', 64),
            ["0"] = "operations",
        };
        var settings = Documented.Where(IsOfCustomers)
            .Select(setting => setting.Replace("<name>", "acme", StringComparison.Ordinal).Replace("<n>", "0", StringComparison.Ordinal))
            .Select(setting => KeyValuePair.Create(setting, (string?)values[setting[(setting.LastIndexOf(':') + 1)..]]));
        var faults = new List<string>();

        var keys = CustomerDirectory.Read(new ConfigurationBuilder().AddInMemoryCollection(settings).Build(), withDemo: false, TestCustomers.Scopes, faults);

        Assert.Empty(faults);
        Assert.Single(keys);
    }

    private static bool IsOurs(string setting) => Sections.Any(section => setting.StartsWith(section, StringComparison.Ordinal));

    private static bool IsOfCustomers(string setting) => setting.StartsWith("Recognize:Customers:", StringComparison.Ordinal);

    /// <summary>Notes which settings are asked for.</summary>
    private sealed class Recorder(IConfiguration settings) : IConfiguration
    {
        public HashSet<string> Read { get; } = new(StringComparer.Ordinal);

        public string? this[string key]
        {
            get
            {
                Read.Add(key);
                return settings[key];
            }

            set => settings[key] = value;
        }

        public IEnumerable<IConfigurationSection> GetChildren() => settings.GetChildren();

        public IChangeToken GetReloadToken() => settings.GetReloadToken();

        public IConfigurationSection GetSection(string key) => settings.GetSection(key);
    }
}
