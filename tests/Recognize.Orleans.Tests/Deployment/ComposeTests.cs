using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;
using Xunit;
using YamlDotNet.Core;
using YamlDotNet.Serialization;
using Settings = Recognize.Orleans.Foundation.Settings;

namespace Recognize.Orleans.Deployment;

/// <summary>What can be checked of the container files where no containers run.</summary>
public sealed partial class ComposeTests
{
    private const string Image = "recognize-orleans";

    private static readonly string Root = FindRoot();

    private static readonly string Text = File.ReadAllText(Path.Combine(Root, "docker-compose.yml"));

    private static readonly Compose Whole = Parse();

    private static readonly Dictionary<string, Container> Containers = Whole.Services;

    private static readonly Dictionary<string, string> Example = File.ReadLines(Path.Combine(Root, ".env.example"))
        .Where(line => line.Length > 0 && !line.StartsWith('#'))
        .Select(line => line.Split('=', 2))
        .ToDictionary(pair => pair[0], pair => pair[1]);

    /// <summary>The load balancer's configuration as its container finds it.</summary>
    internal static string Balancer { get; } = Whole.Configs["balancer"].Content.Replace("$$", "$", StringComparison.Ordinal);

    public static TheoryData<string> Silos => ["silo-1", "silo-2", "silo-3"];

    [Theory]
    [MemberData(nameof(Silos))]
    public void Every_variable_of_a_silo_is_a_setting_that_starts_it(string name)
    {
        var configuration = ConfigurationOf(name);
        var faults = new List<string>();

        var settings = Settings.Read(configuration, "/app", faults);
        var keys = CustomerDirectory.Read(configuration, withDemo: false, faults);

        Assert.Empty(faults);
        Assert.Equal(StorageEngine.SqlServer, settings.Storage.Engine);
        Assert.Equal(8080, Assert.Single(settings.ApiUrls).Port);
        Assert.Equal(2, keys.Count);
        Assert.Equal(name, settings.Silo.Name);
        Assert.Equal(0, settings.Silo.GatewayPort);
        Assert.True(settings.Management.IsLocalOnly);
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

    [Fact]
    public void The_schema_is_applied_once_by_the_same_image_with_settings_that_exist()
    {
        var faults = new List<string>();
        var settings = Settings.Read(ConfigurationOf("schema"), "/app", faults);

        Assert.Empty(faults);
        Assert.Equal(StorageEngine.SqlServer, settings.Storage.Engine);
        Assert.Equal(["apply-schema", "--create-database"], Containers["schema"].Command);
        Assert.Equal("service_healthy", Containers["schema"].DependsOn["sql"].Condition);
        Assert.NotNull(Containers["sql"].Healthcheck);
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
    public void Only_the_balancer_can_be_reached_from_outside() =>
        Assert.Equal("balancer", Assert.Single(Containers, container => container.Value.Ports.Count > 0).Key);

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

    // A create that is sent twice is answered 409 although it was stored.
    [Fact]
    public void The_balancer_sends_nothing_twice_that_changes_something() =>
        Assert.DoesNotMatch(@"(?m)^\s*proxy_next_upstream\s", Balancer);

    [Fact]
    public void The_example_of_secrets_holds_exactly_what_is_used() =>
        Assert.Equal(Example.Keys.Order(), Variable().Matches(Text).Select(match => match.Groups[1].Value).Distinct().Order());

    [Fact]
    public void Secrets_are_ignored_by_git_and_by_the_image()
    {
        Assert.Contains(".env", File.ReadLines(Path.Combine(Root, ".gitignore")));
        Assert.Contains(".env", File.ReadLines(Path.Combine(Root, ".dockerignore")));
    }

    [Fact]
    public void The_image_is_built_from_files_that_exist_and_runs_as_no_root()
    {
        var build = Containers["silo-1"].Build!;
        var lines = File.ReadAllLines(Path.Combine(Root, build.Context!, build.Dockerfile!));
        var sources = lines.Where(line => line.StartsWith("COPY ", StringComparison.Ordinal) && !line.Contains("--from", StringComparison.Ordinal))
            .SelectMany(line => line.Split(' ')[1..^1])
            .ToList();

        Assert.NotEmpty(sources);
        Assert.All(sources, source => Assert.True(Path.Exists(Path.Combine(Root, source)), source));
        Assert.Contains("USER $APP_UID", lines);
        Assert.Contains("ENTRYPOINT [\"dotnet\", \"Recognize.Orleans.dll\"]", lines);
    }

    // What the host makes of the environment: '__' divides, and ASPNETCORE_ is dropped. Names of containers mean nothing here.
    private static IConfiguration ConfigurationOf(string container)
    {
        var settings = Containers[container].Environment.ToDictionary(
            variable => variable.Key.Replace("__", ":", StringComparison.Ordinal).Replace("ASPNETCORE_", "", StringComparison.Ordinal),
            variable => (string?)Variable().Replace(variable.Value, match => Example[match.Groups[1].Value]));
        Assert.All(settings.Keys, key => Assert.Matches("^(Recognize:.+|ConnectionStrings:Recognize|URLS)$", key));
        return new ConfigurationBuilder()
            .AddInMemoryCollection(settings)
            .AddInMemoryCollection([new("Recognize:Silo:AdvertisedAddress", IPAddress.Loopback.ToString())])
            .Build();
    }

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
        public Dictionary<string, string> Environment { get; set; } = [];

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
    }

    private sealed class HealthCheck
    {
        [YamlMember(Alias = "test")]
        public List<string> Test { get; set; } = [];
    }
}
