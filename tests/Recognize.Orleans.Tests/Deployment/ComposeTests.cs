using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Fixtures;
using Xunit;
using YamlDotNet.Core;
using YamlDotNet.Serialization;

namespace Recognize.Orleans.Deployment;

/// <summary>What can be checked of the container files where no containers run.</summary>
public sealed partial class ComposeTests
{
    private const string Image = "recognize-orleans";

    private static readonly string Root = FindRoot();

    private static readonly string Text = File.ReadAllText(Path.Combine(Root, "docker-compose.yml"));

    private static readonly Compose Whole = Parse();

    private static readonly Dictionary<string, Container> Containers = Whole.Services;

    private static readonly string[] ExampleLines = File.ReadAllLines(Path.Combine(Root, ".env.example"));

    // The file as it is, which has PostgreSQL.
    private static readonly Dictionary<string, string> Example = Assignments(ExampleLines);

    /// <summary>The load balancer's configuration as its container finds it.</summary>
    internal static string Balancer { get; } = Whole.Configs["balancer"].Content.Replace("$$", "$", StringComparison.Ordinal);

    internal static string Nginx { get; } = Whole.Configs["nginx"].Content.Replace("$$", "$", StringComparison.Ordinal);

    public static TheoryData<string> Silos => ["silo-1", "silo-2", "silo-3"];

    public static TheoryData<string, string> SilosOnEachServer => new()
    {
        { "silo-1", "postgresql" },
        { "silo-2", "postgresql" },
        { "silo-3", "postgresql" },
        { "silo-1", "sqlserver" },
        { "silo-2", "sqlserver" },
        { "silo-3", "sqlserver" },
    };

    [Theory]
    [MemberData(nameof(SilosOnEachServer))]
    public void Every_variable_of_a_silo_is_a_setting_that_starts_it(string name, string profile)
    {
        var configuration = ConfigurationOf(name, profile);
        var faults = new List<string>();

        var settings = TestSettings.Read(configuration, "/app", faults);

        Assert.Empty(faults);
        Assert.Equal(profile, $"{settings.Storage.Engine}", ignoreCase: true);
        Assert.Contains($"={profile};Database=recognize;", settings.Storage.ConnectionString, StringComparison.OrdinalIgnoreCase);
        Assert.Contains("=recognize;", settings.Storage.ConnectionString.Split("Database=recognize;")[1], StringComparison.Ordinal);
        Assert.Equal(8080, Assert.Single(settings.ApiUrls).Port);
        Assert.Equal(name, settings.Silo.Name);
        Assert.Equal(0, settings.Silo.GatewayPort);
        Assert.False(settings.Management.ServesDashboard);
        Assert.Equal(AddressOf(name), Containers[name].Environment["Recognize__Silo__AdvertisedAddress"]);
        Assert.True(TimeSpan.FromSeconds(int.Parse(Containers[name].StopGracePeriod!.TrimEnd('s'), CultureInfo.InvariantCulture)) > settings.Silo.DrainDelay + TimeSpan.FromSeconds(30));
    }

    [Theory]
    [MemberData(nameof(Silos))]
    public void A_silo_is_healthy_when_its_own_command_says_so_and_starts_after_the_schema(string name)
    {
        Assert.Equal(["CMD", "dotnet", "Recognize.Orleans.dll", "health"], Containers[name].Healthcheck!.Test);
        Assert.Equal("service_completed_successfully", Containers[name].DependsOn["schema"].Condition);
        Assert.Equal("service_healthy", Containers["balancer"].DependsOn[name].Condition);
        Assert.Contains($"server {AddressOf(name)}:8080 ", Balancer, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("postgresql", "postgresql", "service_healthy")]
    [InlineData("sqlserver", "sqlserver-login", "service_completed_successfully")]
    public void The_schema_is_applied_once_by_the_same_image_with_settings_that_exist(string profile, string after, string condition)
    {
        var faults = new List<string>();
        var settings = TestSettings.Read(ConfigurationOf("schema", profile), "/app", faults);

        Assert.Empty(faults);
        Assert.Equal(profile, $"{settings.Storage.Engine}", ignoreCase: true);
        Assert.Equal(["apply-schema"], Containers["schema"].Command);
        Assert.Equal((condition, false), (Containers["schema"].DependsOn[after].Condition, Containers["schema"].DependsOn[after].Required));
        Assert.Equal([profile], Containers[after].Profiles);
        Assert.NotNull(Containers[profile].Healthcheck);
        Assert.Equal(["schema", "silo-1", "silo-2", "silo-3"], Containers.Where(container => container.Value.Image == Image).Select(container => container.Key).Order());
    }

    [Theory]
    [InlineData("Recognize__Storage__Engine")]
    [InlineData("ConnectionStrings__Recognize")]
    [InlineData("Recognize__Cluster__ClusterId")]
    [InlineData("Recognize__Cluster__ServiceId")]
    public void The_silos_are_one_cluster_on_one_database(string variable) =>
        Assert.Single(Containers.Where(container => container.Key.StartsWith("silo-", StringComparison.Ordinal)).Select(container => container.Value.Environment.GetValueOrDefault(variable)).Distinct());

    [Fact]
    public void Only_the_balancer_can_be_reached_from_outside_and_only_over_tls()
    {
        Assert.Equal(["${RECOGNIZE_PORT}:8443"], Containers["balancer"].Ports);
        Assert.Equal(["listen 8443 ssl;"], Listens().Matches(Balancer).Select(match => match.Value));
        Assert.All(Containers.Where(container => container.Key != "balancer").SelectMany(container => container.Value.Ports), port => Assert.StartsWith("127.0.0.1:", port, StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Silos))]
    public void Operators_reach_a_silo_at_a_loopback_port_of_its_own(string name)
    {
        var (inside, outside) = (Assert.Single(TestSettings.Read(ConfigurationOf(name), "/app", []).Management.Urls).Port, Assert.Single(Containers[name].Ports));

        Assert.Matches($@"^127\.0\.0\.1:\d+:{inside}$", outside);
        Assert.Single(Containers.Values.SelectMany(container => container.Ports), outside);
    }

    [Theory]
    [MemberData(nameof(Silos))]
    public void The_customers_are_in_a_mounted_folder_that_a_silo_only_reads(string name)
    {
        var folder = Assert.Single(Containers[name].Volumes.OfType<Dictionary<object, object>>());

        Assert.Equal(Containers[name].Environment["Recognize__SettingsDirectories"], folder["target"]);
        Assert.Equal("true", folder["read_only"]);
        Assert.DoesNotContain(Containers[name].Environment.Keys, variable => variable.Contains("Customers", StringComparison.Ordinal));
    }

    [Fact]
    public void The_customers_of_the_example_are_customers()
    {
        var faults = new List<string>();

        var keys = CustomerDirectory.Read(new ConfigurationBuilder().AddJsonFile(Path.Combine(Root, "deploy", "settings.example.json")).Build(), withDemo: false, TestCustomers.Scopes, faults);

        Assert.Empty(faults);
        Assert.Equal(2, keys.Count);
    }

    [Theory]
    [InlineData("silo-1")]
    [InlineData("silo-2")]
    [InlineData("silo-3")]
    [InlineData("schema")]
    public void The_service_writes_nothing_in_its_image_and_never_knows_the_administrator(string name)
    {
        Assert.True(Containers[name].ReadOnly);
        Assert.Equal(["ALL"], Containers[name].CapDrop);
        Assert.Equal(["no-new-privileges:true"], Containers[name].SecurityOpt);
        Assert.DoesNotContain(Containers[name].Environment.Values, value => value is not null && value.Contains("ADMIN", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Silos))]
    public void What_operators_say_of_telemetry_reaches_every_silo(string name) =>
        Assert.Equal(
            ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SERVICE_NAME"],
            Containers[name].Environment.Where(variable => string.IsNullOrEmpty(variable.Value)).Select(variable => variable.Key).Order(StringComparer.Ordinal));

    [Fact]
    public void Every_file_that_is_mounted_is_there() =>
        Assert.All(
            Containers.Values.SelectMany(container => container.Volumes).OfType<string>().Select(volume => volume.Split(':')[0]).Where(source => source.StartsWith("./", StringComparison.Ordinal)),
            source => Assert.True(File.Exists(Path.Combine(Root, source)), source));

    [Fact]
    public void The_silos_have_addresses_that_no_other_container_gets()
    {
        var pool = Assert.Single(Whole.Networks["default"].Ipam.Config);
        var (all, dynamic) = (IPNetwork.Parse(pool["subnet"]), IPNetwork.Parse(pool["ip_range"]));
        var addresses = Containers.Keys.Where(name => name.StartsWith("silo-", StringComparison.Ordinal)).Select(name => IPAddress.Parse(AddressOf(name))).ToList();

        Assert.Equal(3, addresses.Distinct().Count());
        Assert.All(addresses, address => Assert.True(all.Contains(address) && !dynamic.Contains(address), $"{address}"));
        Assert.True(all.Contains(dynamic.BaseAddress));
    }

    [Fact]
    public void The_balancer_waits_longer_than_a_minute_and_leaves_paths_alone()
    {
        Assert.True(int.Parse(ReadTimeout().Match(Balancer).Groups[1].Value, CultureInfo.InvariantCulture) > 60);
        Assert.Matches(@"proxy_pass http://silos;\n", Balancer);
    }

    // A silo closes them after its drain delay, and a request that is sent on one at that moment is lost.
    [Theory]
    [MemberData(nameof(Silos))]
    public void The_balancer_closes_idle_connections_before_a_silo_that_stops_does(string name) =>
        Assert.True(
            TimeSpan.FromSeconds(int.Parse(KeepaliveTimeout().Match(Balancer).Groups[1].Value, CultureInfo.InvariantCulture))
            < TestSettings.Read(ConfigurationOf(name), "/app", []).Silo.DrainDelay);

    // A create that is sent twice is answered 409 although it was stored.
    [Fact]
    public void The_balancer_sends_nothing_twice_that_changes_something() =>
        Assert.DoesNotMatch(@"(?m)^\s*proxy_next_upstream\s", Balancer);

    [Fact]
    public void The_example_of_secrets_holds_exactly_what_is_used() =>
        Assert.Equal(Example.Keys.Where(name => name != "COMPOSE_PROFILES").Order(), Variable().Matches(Text).Select(match => match.Groups[1].Value).Distinct().Order());

    [Fact]
    public void Secrets_are_ignored_by_git_and_by_the_image()
    {
        Assert.Superset(new HashSet<string>(["/deploy/compose/settings/", "/deploy/compose/tls/"]), File.ReadLines(Path.Combine(Root, ".gitignore")).ToHashSet());
        Assert.Contains("deploy", File.ReadLines(Path.Combine(Root, ".dockerignore")));
        Assert.Contains(".env", File.ReadLines(Path.Combine(Root, ".gitignore")));
        Assert.Contains(".env", File.ReadLines(Path.Combine(Root, ".dockerignore")));
    }

    // What the host makes of the environment: '__' divides, and ASPNETCORE_ is dropped. Names of containers mean nothing here.
    private static IConfiguration ConfigurationOf(string container, string profile = "postgresql")
    {
        var values = Assignments([.. ExampleLines, .. Alternative(profile)]);
        Assert.Equal(profile, values["COMPOSE_PROFILES"]);
        var settings = Containers[container].Environment.Where(variable => !string.IsNullOrEmpty(variable.Value)).ToDictionary(
            variable => variable.Key.Replace("__", ":", StringComparison.Ordinal).Replace("ASPNETCORE_", "", StringComparison.Ordinal),
            variable => (string?)Variable().Replace(variable.Value!, match => values[match.Groups[1].Value]));
        Assert.All(settings.Keys, key => Assert.Matches("^(Recognize:.+|ConnectionStrings:Recognize|URLS)$", key));
        return new ConfigurationBuilder()
            .AddInMemoryCollection(settings)
            .AddInMemoryCollection([new("Recognize:Silo:AdvertisedAddress", IPAddress.Loopback.ToString()), new("Recognize:SettingsDirectories", null)])
            .Build();
    }

    // The lines that take the place of others when their comment signs are gone.
    private static IEnumerable<string> Alternative(string profile) =>
        ExampleLines.SkipWhile(line => line != $"#COMPOSE_PROFILES={profile}").Take(3).Select(line => line.TrimStart('#'));

    private static Dictionary<string, string> Assignments(IEnumerable<string> lines) => lines
        .Where(line => line.Length > 0 && !line.StartsWith('#'))
        .Select(line => line.Split('=', 2))
        .GroupBy(pair => pair[0], pair => pair[1])
        .ToDictionary(name => name.Key, name => name.Last());

    private static string AddressOf(string silo) => Containers[silo].Networks["default"]["ipv4_address"];

    private static Compose Parse()
    {
        using var reader = new StringReader(Text);
        return new DeserializerBuilder().IgnoreUnmatchedProperties().Build()
            .Deserialize<Compose>(new MergingParser(new Parser(reader)));
    }

    private static string FindRoot([CallerFilePath] string source = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(source)!, "..", "..", ".."));

    [GeneratedRegex(@"(?<!\$)\$\{(\w+)\}")]
    private static partial Regex Variable();

    [GeneratedRegex(@"listen .+;")]
    private static partial Regex Listens();

    [GeneratedRegex(@"keepalive_timeout (\d+)s;")]
    private static partial Regex KeepaliveTimeout();

    [GeneratedRegex(@"proxy_read_timeout (\d+)s;")]
    private static partial Regex ReadTimeout();

    private sealed class Compose
    {
        [YamlMember(Alias = "services")]
        public Dictionary<string, Container> Services { get; set; } = [];

        [YamlMember(Alias = "networks")]
        public Dictionary<string, Network> Networks { get; set; } = [];

        [YamlMember(Alias = "configs")]
        public Dictionary<string, Config> Configs { get; set; } = [];
    }

    private sealed class Config
    {
        [YamlMember(Alias = "content")]
        public string Content { get; set; } = "";
    }

    private sealed class Network
    {
        [YamlMember(Alias = "ipam")]
        public AddressPools Ipam { get; set; } = new();
    }

    private sealed class AddressPools
    {
        [YamlMember(Alias = "config")]
        public List<Dictionary<string, string>> Config { get; set; } = [];
    }

    private sealed class Container
    {
        [YamlMember(Alias = "image")]
        public string? Image { get; set; }

        [YamlMember(Alias = "build")]
        public ImageBuild? Build { get; set; }

        [YamlMember(Alias = "command")]
        public List<string> Command { get; set; } = [];

        [YamlMember(Alias = "environment")]
        public Dictionary<string, string?> Environment { get; set; } = [];

        [YamlMember(Alias = "profiles")]
        public List<string> Profiles { get; set; } = [];

        // A text, or a mapping.
        [YamlMember(Alias = "volumes")]
        public List<object> Volumes { get; set; } = [];

        [YamlMember(Alias = "read_only")]
        public bool ReadOnly { get; set; }

        [YamlMember(Alias = "cap_drop")]
        public List<string> CapDrop { get; set; } = [];

        [YamlMember(Alias = "security_opt")]
        public List<string> SecurityOpt { get; set; } = [];

        [YamlMember(Alias = "networks")]
        public Dictionary<string, Dictionary<string, string>> Networks { get; set; } = [];

        [YamlMember(Alias = "ports")]
        public List<string> Ports { get; set; } = [];

        [YamlMember(Alias = "depends_on")]
        public Dictionary<string, Dependency> DependsOn { get; set; } = [];

        [YamlMember(Alias = "healthcheck")]
        public HealthCheck? Healthcheck { get; set; }

        [YamlMember(Alias = "stop_grace_period")]
        public string? StopGracePeriod { get; set; }
    }

    private sealed class ImageBuild
    {
        [YamlMember(Alias = "context")]
        public string? Context { get; set; }

        [YamlMember(Alias = "dockerfile")]
        public string? Dockerfile { get; set; }
    }

    private sealed class Dependency
    {
        [YamlMember(Alias = "condition")]
        public string? Condition { get; set; }

        [YamlMember(Alias = "required")]
        public bool Required { get; set; } = true;
    }

    private sealed class HealthCheck
    {
        [YamlMember(Alias = "test")]
        public List<string> Test { get; set; } = [];
    }
}
