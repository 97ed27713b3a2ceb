using System.Net;
using Microsoft.Data.Sqlite;

namespace Recognize.Orleans.Foundation;

/// <summary>
/// All settings of the service except its customers, read once at startup. The table in docs/operations.md documents them.
/// </summary>
internal sealed record Settings
{
    /// <summary>The names of all settings except those of customers.</summary>
    public static IReadOnlySet<string> Keys { get; } = KeysOf(new ConfigurationBuilder().Build());

    public required StorageSettings Storage { get; init; }

    public required SiloSettings Silo { get; init; }

    public required ClusterSettings Cluster { get; init; }

    public required ManagementSettings Management { get; init; }

    public required OperationSettings Operations { get; init; }

    public required CallSettings Calls { get; init; }

    public required WaitSettings Waits { get; init; }

    /// <summary>Whether the log tells who created, decided and cancelled which operation.</summary>
    public required bool Audit { get; init; }

    public required TelemetrySettings Telemetry { get; init; }

    /// <summary>Where the API listens.</summary>
    public required IReadOnlyList<BindingAddress> ApiUrls { get; init; }

    /// <summary>
    /// Whether the API and the management port listen on loopback addresses only, which no other machine can reach.
    /// </summary>
    public bool IsLocalOnly => ApiUrls.Concat(Management.Urls).All(Urls.IsLoopback);

    /// <summary>
    /// Reads all settings. Each error is added to <paramref name="errors"/> as a sentence that names the setting.
    /// </summary>
    public static Settings Read(IConfiguration configuration, string contentRoot, ICollection<string> errors) => Read(configuration, contentRoot, errors, out _);

    /// <inheritdoc cref="Read(IConfiguration, string, ICollection{string})"/>
    /// <param name="configuration">The configuration to read.</param>
    /// <param name="contentRoot">
    /// The folder of the settings files. The relative path of a SQLite file starts here.
    /// </param>
    /// <param name="errors">Receives the sentences.</param>
    /// <param name="defaults">Every setting that exists, with its default; null: it has none.</param>
    public static Settings Read(IConfiguration configuration, string contentRoot, ICollection<string> errors, out IReadOnlyDictionary<string, string?> defaults)
    {
        var reader = new SettingsReader(configuration, errors);
        SettingsDirectories.Check(reader, contentRoot);
        var engine = reader.Choice("Recognize:Storage:Engine", StorageEngine.Sqlite);
        var settings = new Settings
        {
            Storage = new()
            {
                Engine = engine,
                ConnectionString = ConnectionString(reader, engine, contentRoot),
                ApplySchema = reader.Flag("Recognize:Storage:ApplySchema", engine is StorageEngine.Sqlite),
                GroupCommit = reader.Flag("Recognize:Storage:GroupCommit", true),
            },
            Silo = new()
            {
                Port = reader.Number("Recognize:Silo:Port", 11_111, 1, 65_535),
                GatewayPort = reader.Number("Recognize:Silo:GatewayPort", 0, 0, 65_535),
                AdvertisedAddress = reader.Address("Recognize:Silo:AdvertisedAddress", IPAddress.Loopback),
                Name = reader.Name("Recognize:Silo:Name", Dns.GetHostName(), 100),
                DrainDelay = reader.Duration("Recognize:Silo:DrainDelay", TimeSpan.FromSeconds(5), TimeSpan.Zero, TimeSpan.FromMinutes(5)),
            },
            Cluster = new()
            {
                ClusterId = reader.Name("Recognize:Cluster:ClusterId", "recognize", 64),
                ServiceId = reader.Name("Recognize:Cluster:ServiceId", "recognize", 64),
            },
            Management = ManagementSettings.Read(reader),
            Operations = new()
            {
                PendingLimit = reader.Number("Recognize:Operations:PendingLimit", 1_000, 1, 1_000),
                PendingBytes = reader.Number("Recognize:Operations:PendingBytes", 1024 * 1024, OperationSettings.LeastPendingBytes, 1024 * 1024),
                Lifetime = reader.OptionalDuration(
                    "Recognize:Operations:Lifetime",
                    TimeSpan.FromSeconds(OperationLimits.ShortestLifetime),
                    TimeSpan.FromSeconds(OperationLimits.LongestLifetime)),
                Retention = RetentionSettings.Read(reader),
            },
            Calls = new()
            {
                PerCustomer = reader.Number("Recognize:Calls:PerCustomer", 256, 1, 100_000),
                PerSecond = reader.OptionalNumber("Recognize:Calls:PerSecond", 1, 1_000_000),
            },
            Waits = WaitSettings.Read(reader),
            Audit = reader.Flag("Recognize:Audit", false),
            Telemetry = TelemetrySettings.Read(reader),
            ApiUrls = reader.Urls("urls", Urls.FromPorts(configuration) ?? "http://localhost:8080"),
        };

        reader.RefuseUnknown("Recognize", except: "Recognize:Customers");
        settings.Check(configuration, errors);
        defaults = reader.Defaults;
        return settings;
    }

    private static HashSet<string> KeysOf(IConfiguration nothing)
    {
        Read(nothing, Path.GetTempPath(), [], out var defaults);
        return new(defaults.Keys, StringComparer.OrdinalIgnoreCase);
    }

    private void Check(IConfiguration configuration, ICollection<string> errors)
    {
        if (Management.Password is { Length: < 12 })
        {
            errors.Add("Recognize:Management:Password must have at least 12 characters.");
        }

        if (Silo.AdvertisedAddress.Equals(IPAddress.Any) || Silo.AdvertisedAddress.Equals(IPAddress.IPv6Any))
        {
            errors.Add($"Recognize:Silo:AdvertisedAddress must be the address by which other silos reach this one, not {Silo.AdvertisedAddress}.");
        }

        // The port that a request came in on decides what it may reach, whatever the address. So no two uses share a
        // port.
        var uses = ApiUrls.Select(url => url.Port).Distinct().Select(port => (Port: port, Setting: "The API's URLs"))
            .Concat(Management.Urls.Select(url => url.Port).Distinct().Select(port => (Port: port, Setting: "Recognize:Management:Port or Recognize:Management:Urls")))
            .Append((Port: Silo.Port, Setting: "Recognize:Silo:Port"))
            .Append((Port: Silo.GatewayPort, Setting: "Recognize:Silo:GatewayPort"));
        foreach (var shared in uses.Where(use => use.Port != 0).GroupBy(use => use.Port).Where(group => group.Count() > 1))
        {
            errors.Add($"{string.Join(" and ", shared.Select(use => use.Setting))} must not share a port; both have {shared.Key}.");
        }

        AddSharedAddresses(ApiUrls, "The API's URLs (--urls or ASPNETCORE_URLS)", errors);
        AddSharedAddresses(Management.Urls, "The management URLs (Recognize:Management:Urls)", errors);
        if (ApiUrls.FirstOrDefault(url => url.Port == 0 && url.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase)) is { } local)
        {
            errors.Add($"The API's URL {local} lets the system choose a port for each of two addresses: write 127.0.0.1 or [::1] instead of localhost.");
        }

        if (Management.Urls.Any(url => url.Port == 0))
        {
            errors.Add("Recognize:Management:Urls must name a port other than 0.");
        }

        if (configuration.GetSection("Kestrel:Endpoints").Exists())
        {
            errors.Add("Kestrel:Endpoints is not supported, because it would switch off the management port: use --urls or ASPNETCORE_URLS, and Kestrel:Certificates for TLS.");
        }
    }

    private static void AddSharedAddresses(IReadOnlyList<BindingAddress> urls, string setting, ICollection<string> errors)
    {
        foreach (var (index, url) in urls.Index())
        {
            if (urls.Skip(index + 1).FirstOrDefault(other => Urls.ShareAddress(url, other)) is { } shared)
            {
                errors.Add($"{setting} must not share an address: {url} and {shared} do.");
            }
        }
    }

    private static string ConnectionString(SettingsReader reader, StorageEngine engine, string contentRoot)
    {
        var text = reader.Text("ConnectionStrings:Recognize", engine is StorageEngine.Sqlite ? "Data Source=recognize.db" : null);
        if (text is null)
        {
            if (engine is not StorageEngine.Sqlite)
            {
                reader.AddError($"ConnectionStrings:Recognize is required when Recognize:Storage:Engine is {engine}.");
                return "";
            }

            text = "Data Source=recognize.db";
        }

        if (ConnectionStrings.ErrorIn(engine, text) is { } error)
        {
            reader.AddError($"ConnectionStrings:Recognize {error}");
            return "";
        }

        return engine is StorageEngine.Sqlite ? Rooted(text, contentRoot) : text;
    }

    // A relative path starts at the settings files, not at the folder that the service happens to be started from.
    private static string Rooted(string connectionString, string contentRoot)
    {
        var builder = new SqliteConnectionStringBuilder(connectionString);
        builder.DataSource = Path.GetFullPath(builder.DataSource, contentRoot);
        return builder.ToString();
    }
}

internal sealed record StorageSettings
{
    public required StorageEngine Engine { get; init; }

    public required string ConnectionString { get; init; }

    public required bool ApplySchema { get; init; }

    /// <summary>
    /// Whether waiting writes share a transaction. If not, Orleans' own ADO.NET provider writes each one separately.
    /// </summary>
    public required bool GroupCommit { get; init; }
}

internal sealed record SiloSettings
{
    public required int Port { get; init; }

    public required int GatewayPort { get; init; }

    public required IPAddress AdvertisedAddress { get; init; }

    public required string Name { get; init; }

    public required TimeSpan DrainDelay { get; init; }
}

internal sealed record ClusterSettings
{
    public required string ClusterId { get; init; }

    public required string ServiceId { get; init; }
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

internal sealed record OperationSettings
{
    /// <summary>
    /// One operation always fits: its texts at full length, each UTF-16 unit escaped in six bytes, and the rest of its JSON.
    /// </summary>
    public const int LeastPendingBytes = (6 * (OperationLimits.OperationId + OperationLimits.Payload + OperationLimits.ExternalUserId)) + 1_024;

    public required int PendingLimit { get; init; }

    /// <summary>How many bytes the list of one user's pending operations may have as it is sent.</summary>
    public required int PendingBytes { get; init; }

    /// <summary>How long an operation can be decided if its create sets no lifetime; null: without limit.</summary>
    public required TimeSpan? Lifetime { get; init; }

    /// <summary>How long ended operations and their tombstones are kept; null: forever.</summary>
    public required RetentionSettings? Retention { get; init; }
}

/// <param name="Operations">How long an operation is kept after its end.</param>
/// <param name="Tombstones">How long its tombstone is kept after that. Until then its id cannot be used again.</param>
internal sealed record RetentionSettings(TimeSpan Operations, TimeSpan Tombstones)
{
    private const string OperationsKey = "Recognize:Operations:Retention";
    private const string TombstonesKey = "Recognize:Operations:TombstoneRetention";

    private static readonly TimeSpan Most = TimeSpan.FromDays(36_500);
    private static readonly TimeSpan Year = TimeSpan.FromDays(365);

    public static RetentionSettings? Read(SettingsReader reader)
    {
        var operations = reader.OptionalDuration(OperationsKey, Times.ShortestRetention, Most);
        var tombstones = reader.OptionalDuration(TombstonesKey, Times.ShortestRetention, Most);
        if (operations is not { } kept)
        {
            if (tombstones is not null)
            {
                reader.AddError($"{TombstonesKey} says nothing without {OperationsKey}: set both, or neither.");
            }

            return null;
        }

        if (tombstones < kept)
        {
            reader.AddError($"{TombstonesKey} must not be shorter than {OperationsKey}.");
        }

        return new(kept, tombstones ?? (kept > Year ? kept : Year));
    }
}

/// <summary>Limits on the calls of one customer to this process.</summary>
internal sealed record CallSettings
{
    /// <summary>Calls in flight.</summary>
    public required int PerCustomer { get; init; }

    /// <summary>Calls per second on average, and the largest burst; null: no limit.</summary>
    public required int? PerSecond { get; init; }
}

/// <summary>How many clients may wait for a change or listen to a stream at once.</summary>
internal sealed record WaitSettings
{
    private const string PerCustomerKey = "Recognize:Waits:PerCustomer";
    private const string PerProcessKey = "Recognize:Waits:PerProcess";

    /// <summary>The limit for one customer in this process.</summary>
    public required int PerCustomer { get; init; }

    public required int PerProcess { get; init; }

    public static WaitSettings Read(SettingsReader reader)
    {
        var perProcess = reader.Number(PerProcessKey, 20_000, 2, 1_000_000);
        var half = perProcess / 2;
        var perCustomer = reader.Number(PerCustomerKey, half, 1, 1_000_000);
        if (perCustomer > half)
        {
            reader.AddError($"{PerCustomerKey} must be at most {half}, which is half of {PerProcessKey}, so that one customer can never take all of them; it is {perCustomer}.");
        }

        return new() { PerCustomer = perCustomer, PerProcess = perProcess };
    }
}
