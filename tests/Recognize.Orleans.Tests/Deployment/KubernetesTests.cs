using System.Globalization;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Deployment;

/// <summary>The manifests say what the service needs. That they are valid is checked by .ci/run.</summary>
public sealed class KubernetesTests
{
    private const string PodAddress = "10.0.0.1";

    public static TheoryData<string> Workloads => ["Deployment", "Job"];

    [Fact]
    public void Every_variable_of_a_silo_is_a_setting_that_starts_it()
    {
        var faults = new List<string>();

        var settings = TestSettings.Read(ConfigurationOf(Manifests.Silos), "/app", faults);

        Assert.Empty(faults);
        Assert.Equal(StorageEngine.PostgreSql, settings.Storage.Engine);
        Assert.Equal(PodAddress, $"{settings.Silo.AdvertisedAddress}");
        Assert.Equal("metadata.name", settings.Silo.Name);
        Assert.Equal(0, settings.Silo.GatewayPort);
        Assert.False(settings.Management.ServesDashboard);
        Assert.Equal(
            [("api", Assert.Single(settings.ApiUrls).Port), ("management", Assert.Single(settings.Management.Urls).Port), ("silo", settings.Silo.Port)],
            Manifests.Container(Manifests.Silos)["ports"]!.AsArray().Select(port => ($"{port!["name"]}", int.Parse($"{port["containerPort"]}", CultureInfo.InvariantCulture))));
    }

    [Fact]
    public void The_schema_is_applied_by_the_same_image_with_the_settings_of_the_silos_and_a_login_of_its_own()
    {
        var faults = new List<string>();

        var settings = TestSettings.Read(ConfigurationOf(Manifests.Schema), "/app", faults);

        Assert.Empty(faults);
        Assert.Equal(StorageEngine.PostgreSql, settings.Storage.Engine);
        Assert.Equal("""["apply-schema"]""", Manifests.Container(Manifests.Schema)["args"]!.ToJsonString());
        Assert.Equal($"{Manifests.Container(Manifests.Silos)["image"]}", $"{Manifests.Container(Manifests.Schema)["image"]}");
        Assert.Equal(["recognize-schema-database"], SecretsOf(Manifests.Schema));
        Assert.Equal(["recognize-database", "recognize-customers"], SecretsOf(Manifests.Silos));
    }

    // A subPath is never brought up to date.
    [Theory]
    [MemberData(nameof(Workloads))]
    public void Secrets_are_files_of_the_folder_that_the_service_reads(string kind)
    {
        var mount = Assert.Single(Manifests.Container(Manifests.Of(kind))["volumeMounts"]!.AsArray())!;

        Assert.Equal($"{Manifests.Of("ConfigMap")["data"]!["Recognize__SettingsDirectories"]}", $"{mount["mountPath"]}");
        Assert.Equal("true", $"{mount["readOnly"]}");
        Assert.Null(mount["subPath"]);
        Assert.All(Items(Manifests.Of(kind)), item => Assert.Matches("^(ConnectionStrings__Recognize|settings[.]json)$", $"{item["path"]}"));
        Assert.DoesNotContain(Manifests.All, manifest => $"{manifest["kind"]}" == "Secret");
        Assert.DoesNotContain(Variables(Manifests.Of(kind)).Keys, name => name.Contains("Password", StringComparison.Ordinal) || name.StartsWith("ConnectionStrings", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Workloads))]
    public void A_pod_may_do_nothing_that_it_does_not_need(string kind)
    {
        var (pod, container) = (Manifests.Pod(Manifests.Of(kind)), Manifests.Container(Manifests.Of(kind)));

        Assert.Equal("true", $"{pod["securityContext"]!["runAsNonRoot"]}");
        Assert.Equal("RuntimeDefault", $"{pod["securityContext"]!["seccompProfile"]!["type"]}");
        Assert.Equal(ImageTests.User, $"{pod["securityContext"]!["runAsUser"]}");
        Assert.Equal("false", $"{pod["automountServiceAccountToken"]}");
        Assert.Equal("false", $"{pod["enableServiceLinks"]}");
        Assert.Equal("""{"allowPrivilegeEscalation":"false","readOnlyRootFilesystem":"true","capabilities":{"drop":["ALL"]}}""", container["securityContext"]!.ToJsonString());
        Assert.NotNull(container["resources"]!["requests"]!["memory"]);
        Assert.NotNull(container["resources"]!["limits"]!["memory"]);
        Assert.Equal($"{Manifests.Of("ServiceAccount")["metadata"]!["name"]}", $"{pod["serviceAccountName"]}");
        Assert.Equal("false", $"{Manifests.Of("ServiceAccount")["automountServiceAccountToken"]}");
    }

    [Fact]
    public void Three_silos_are_replaced_one_by_one_and_spread()
    {
        var spec = Manifests.Silos["spec"]!;

        Assert.Equal("3", $"{spec["replicas"]}");
        Assert.Equal("""{"type":"RollingUpdate","rollingUpdate":{"maxSurge":"1","maxUnavailable":"0"}}""", spec["strategy"]!.ToJsonString());
        Assert.Equal("1", $"{Manifests.Of("PodDisruptionBudget")["spec"]!["maxUnavailable"]}");
        Assert.Equal(
            ["kubernetes.io/hostname", "topology.kubernetes.io/zone"],
            Manifests.Pod(Manifests.Silos)["topologySpreadConstraints"]!.AsArray().Select(constraint => $"{constraint!["topologyKey"]}"));
    }

    [Fact]
    public void A_pod_has_more_time_to_end_than_the_service_takes()
    {
        var grace = TimeSpan.FromSeconds(int.Parse($"{Manifests.Pod(Manifests.Silos)["terminationGracePeriodSeconds"]}", CultureInfo.InvariantCulture));

        Assert.True(grace > TestSettings.Read(ConfigurationOf(Manifests.Silos), "/app", []).Silo.DrainDelay + TimeSpan.FromSeconds(30));
    }

    [Theory]
    [InlineData("startupProbe", "/health/live")]
    [InlineData("livenessProbe", "/health/live")]
    [InlineData("readinessProbe", "/health/ready")]
    public void Probes_ask_the_management_port(string probe, string path) =>
        Assert.Equal($$"""{"path":"{{path}}","port":"management"}""", Manifests.Container(Manifests.Silos)[probe]!["httpGet"]!.ToJsonString());

    [Fact]
    public void The_api_alone_has_a_service()
    {
        var port = Assert.Single(Manifests.Of("Service")["spec"]!["ports"]!.AsArray());

        Assert.Equal("api", $"{port!["targetPort"]}");
    }

    [Fact]
    public void A_silos_port_is_for_silos_and_the_management_port_for_the_monitoring()
    {
        var policy = Manifests.All.Single(manifest => $"{manifest["metadata"]!["name"]}" == "recognize-silos")["spec"]!;
        var rules = policy["ingress"]!.AsArray().ToDictionary(rule => $"{rule!["ports"]!.AsArray().Single()!["port"]}", rule => rule!["from"]?.ToJsonString());

        Assert.Equal("""["Ingress"]""", policy["policyTypes"]!.ToJsonString());
        Assert.Equal(["api", "management", "silo"], rules.Keys.Order(StringComparer.Ordinal));
        Assert.Null(rules["api"]);
        Assert.Equal($$"""[{"podSelector":{{policy["podSelector"]!.ToJsonString()}}}]""", rules["silo"]);
        Assert.Equal("""[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]""", rules["management"]);
    }

    [Theory]
    [InlineData("Deployment", "spec.selector.matchLabels")]
    [InlineData("Service", "spec.selector")]
    [InlineData("PodDisruptionBudget", "spec.selector.matchLabels")]
    [InlineData("NetworkPolicy recognize-silos", "spec.podSelector.matchLabels")]
    public void What_selects_silos_selects_the_labels_that_their_pods_have(string kindAndName, string path)
    {
        var manifest = Manifests.All.Single(manifest => kindAndName.Split(' ') is var parts && $"{manifest["kind"]}" == parts[0] && parts.Skip(1).All(name => $"{manifest["metadata"]!["name"]}" == name));

        var selector = path.Split('.').Aggregate(manifest, (node, member) => node[member]!);

        Assert.Equal(Manifests.Silos["spec"]!["template"]!["metadata"]!["labels"]!.ToJsonString(), selector.ToJsonString());
    }

    [Fact]
    public void Every_manifest_is_applied() =>
        Assert.Equal(Manifests.Files.Where(file => file != "kustomization.yaml"), Manifests.Kustomization["resources"]!.AsArray().Select(file => $"{file}").Order(StringComparer.Ordinal));

    private static IEnumerable<JsonNode> Sources(JsonNode workload) =>
        Assert.Single(Manifests.Pod(workload)["volumes"]!.AsArray())!["projected"]!["sources"]!.AsArray().Select(source => source!["secret"]!);

    private static IEnumerable<string> SecretsOf(JsonNode workload) => Sources(workload).Select(secret => $"{secret["name"]}");

    private static IEnumerable<JsonNode> Items(JsonNode workload) => Sources(workload).SelectMany(secret => secret["items"]!.AsArray()).Select(item => item!);

    // The fields of a pod have no value here, and are named by themselves.
    private static Dictionary<string, string?> Variables(JsonNode workload) => Manifests.Of("ConfigMap")["data"]!.AsObject()
        .Select(setting => (setting.Key, Value: (string?)$"{setting.Value}"))
        .Concat((Manifests.Container(workload)["env"] as JsonArray ?? []).Select(variable => (Key: $"{variable!["name"]}", Value: (string?)$"{variable["value"] ?? variable["valueFrom"]!["fieldRef"]!["fieldPath"]}")))
        .ToDictionary(variable => variable.Key, variable => variable.Value);

    private static IConfiguration ConfigurationOf(JsonNode workload)
    {
        var settings = Variables(workload).ToDictionary(
            variable => variable.Key.Replace("__", ":", StringComparison.Ordinal).Replace("ASPNETCORE_", "", StringComparison.Ordinal),
            variable => variable.Value?.Replace("status.podIP", PodAddress, StringComparison.Ordinal));
        Assert.All(settings.Keys, key => Assert.Matches("^(Recognize:.+|URLS|OTEL_[A-Z_]+)$", key));
        return new ConfigurationBuilder()
            .AddInMemoryCollection(settings)
            .AddInMemoryCollection([new("Recognize:SettingsDirectories", null), new("ConnectionStrings:Recognize", "Host=db;Database=recognize")])
            .Build();
    }
}
