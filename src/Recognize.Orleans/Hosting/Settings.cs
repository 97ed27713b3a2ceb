using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Hosting;

/// <summary>
/// What the process itself is set to, read once at startup; features read their own settings. The table in
/// docs/operations.md documents all of them.
/// </summary>
internal sealed record Settings
{
    public required StorageSettings Storage { get; init; }

    public required SiloSettings Silo { get; init; }

    public required ClusterSettings Cluster { get; init; }

    public required ManagementSettings Management { get; init; }

    public required TelemetrySettings Telemetry { get; init; }

    /// <summary>Where the API listens.</summary>
    public required IReadOnlyList<BindingAddress> ApiUrls { get; init; }

    /// <summary>
    /// Whether the API and the management port listen on loopback addresses only, which no other machine can reach.
    /// </summary>
    public bool IsLocalOnly => ApiUrls.Concat(Management.Urls).All(Urls.IsLoopback);

    /// <summary>Reads the settings. Each error is a sentence that names the setting.</summary>
    public static Settings Read(SettingsReader reader)
    {
        SettingsDirectories.Check(reader);
        var settings = new Settings
        {
            Storage = StorageSettings.Read(reader),
            Silo = SiloSettings.Read(reader),
            Cluster = ClusterSettings.Read(reader),
            Management = ManagementSettings.Read(reader),
            Telemetry = TelemetrySettings.Read(reader),
            ApiUrls = reader.Urls("urls", Urls.FromPorts(reader.Configuration) ?? "http://localhost:8080"),
        };
        settings.Check(reader);
        return settings;
    }

    private void Check(SettingsReader reader)
    {
        if (Management.Password is { Length: < 12 })
        {
            reader.AddError("Recognize:Management:Password must have at least 12 characters.");
        }

        // The port that a request came in on decides what it may reach, whatever the address. So no two uses share a
        // port.
        var uses = ApiUrls.Select(url => url.Port).Distinct().Select(port => (Port: port, Setting: "The API's URLs"))
            .Concat(Management.Urls.Select(url => url.Port).Distinct().Select(port => (Port: port, Setting: "Recognize:Management:Port or Recognize:Management:Urls")))
            .Append((Port: Silo.Port, Setting: "Recognize:Silo:Port"))
            .Append((Port: Silo.GatewayPort, Setting: "Recognize:Silo:GatewayPort"));
        foreach (var shared in uses.Where(use => use.Port != 0).GroupBy(use => use.Port).Where(group => group.Count() > 1))
        {
            reader.AddError($"{string.Join(" and ", shared.Select(use => use.Setting))} must not share a port; both have {shared.Key}.");
        }

        AddSharedAddresses(ApiUrls, "The API's URLs (--urls or ASPNETCORE_URLS)", reader);
        AddSharedAddresses(Management.Urls, "The management URLs (Recognize:Management:Urls)", reader);
        if (ApiUrls.FirstOrDefault(url => url.Port == 0 && url.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)) is { } local)
        {
            reader.AddError($"The API's URL {local} lets the system choose a port for each of two addresses: write 127.0.0.1 or [::1] instead of localhost.");
        }

        if (Management.Urls.Any(url => url.Port == 0))
        {
            reader.AddError("Recognize:Management:Urls must name a port other than 0.");
        }

        if (reader.Configuration.GetSection("Kestrel:Endpoints").Exists())
        {
            reader.AddError("Kestrel:Endpoints is not supported, because it would switch off the management port: use --urls or ASPNETCORE_URLS, and Kestrel:Certificates for TLS.");
        }
    }

    private static void AddSharedAddresses(IReadOnlyList<BindingAddress> urls, string setting, SettingsReader reader)
    {
        foreach (var (index, url) in urls.Index())
        {
            if (urls.Skip(index + 1).FirstOrDefault(other => Urls.ShareAddress(url, other)) is { } shared)
            {
                reader.AddError($"{setting} must not share an address: {url} and {shared} do.");
            }
        }
    }
}

internal sealed record ManagementSettings
{
    public required IReadOnlyList<BindingAddress> Urls { get; init; }

    public required string? Password { get; init; }

    /// <summary>Whether Prometheus finds metrics at <c>/metrics</c>.</summary>
    public required bool ServesMetrics { get; init; }

    public static ManagementSettings Read(SettingsReader reader)
    {
        var port = reader.Number("Recognize:Management:Port", 8081, 1, 65_535);
        return new()
        {
            Urls = reader.Urls("Recognize:Management:Urls", $"http://localhost:{port}"),
            Password = reader.Text("Recognize:Management:Password"),
            ServesMetrics = reader.Flag("Recognize:Management:Metrics", true),
        };
    }

    public bool IsLocalOnly => Urls.All(Foundation.Urls.IsLoopback);

    /// <summary>
    /// Whether the dashboard is served. It shows payloads, so other machines never reach it without a password.
    /// </summary>
    public bool ServesDashboard => IsLocalOnly || Password is not null;
}
