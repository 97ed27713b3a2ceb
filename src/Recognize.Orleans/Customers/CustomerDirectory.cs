using System.Buffers;
using System.Collections.Frozen;
using System.Security.Cryptography;
using System.Text;

namespace Recognize.Orleans.Customers;

/// <summary>What a key may do. Features register theirs.</summary>
/// <param name="Name">Its name in the settings.</param>
/// <param name="DemoKey">The key of the demo customer that may do this, and nothing else.</param>
internal sealed record Scope(string Name, string DemoKey);

/// <param name="Name">The configured name in lower case; part of every key of the customer's grains.</param>
/// <param name="SdkApiKey">The public identifier that answers show as <c>apiKey</c>; not a secret.</param>
internal sealed record Customer(string Name, string SdkApiKey);

/// <param name="Customer">Whose key it is.</param>
/// <param name="Scopes">What it may do.</param>
/// <param name="Sha256">The configured hash, which distinguishes it from the customer's other keys.</param>
internal sealed record ApiKey(Customer Customer, IReadOnlySet<Scope> Scopes, string Sha256)
{
    /// <summary>Its scopes by name, for logs.</summary>
    public string ScopeNames => string.Join(", ", Scopes.Select(scope => scope.Name));

    public bool Equals(ApiKey? other) => other is not null && Customer == other.Customer && Sha256 == other.Sha256 && Scopes.SetEquals(other.Scopes);

    public override int GetHashCode() => Sha256.GetHashCode(StringComparison.Ordinal);
}

/// <summary>
/// The customers and their keys, from the section <c>Recognize:Customers</c>. A changed file takes effect while the
/// service runs. A file with errors is logged, and the last good one stays in force.
/// </summary>
internal sealed partial class CustomerDirectory : IDisposable
{
    /// <summary>The most characters of a key, and of an SDK key.</summary>
    public const int LongestKey = 256;

    private static readonly SearchValues<char> LowerHex = SearchValues.Create("0123456789abcdef");

    private readonly IConfiguration configuration;
    private readonly SettingsFiles files;
    private readonly bool withDemo;
    private readonly IReadOnlyList<Scope> scopes;
    private readonly Audit audit;
    private readonly ILogger<CustomerDirectory> logger;
    private readonly Lock gate = new();
    private FrozenDictionary<string, ApiKey> keys;
    private string lastReport = "";

    public CustomerDirectory(IConfiguration configuration, SettingsFiles files, CustomerSettings settings, IEnumerable<Scope> scopes, Audit audit, ILogger<CustomerDirectory> logger)
    {
        this.configuration = configuration;
        this.files = files;
        this.audit = audit;
        this.logger = logger;
        this.scopes = [.. scopes];
        withDemo = settings.WithDemo;
        keys = FrozenDictionary<string, ApiKey>.Empty;
        files.Changed += Reload;
        Reload();
    }

    /// <summary>The key whose SHA-256 is configured, or <see langword="null"/>.</summary>
    public ApiKey? Find(string key)
    {
        // The timing of a lookup by hash leaks nothing useful: an attacker who could choose the hash could choose the
        // key.
        Span<byte> utf8 = stackalloc byte[Encoding.UTF8.GetMaxByteCount(key.Length)];
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        Span<char> hex = stackalloc char[SHA256.HashSizeInBytes * 2];
        SHA256.HashData(utf8[..Encoding.UTF8.GetBytes(key, utf8)], hash);
        Convert.TryToHexStringLower(hash, hex, out _);
        return Volatile.Read(ref keys).GetAlternateLookup<ReadOnlySpan<char>>().TryGetValue(hex, out var found) ? found : null;
    }

    /// <summary>Raised when keys were added, changed or removed.</summary>
    public event Action? Changed;

    /// <summary>Whether a key that was found before is still configured, with the same scopes.</summary>
    public bool IsInForce(ApiKey key) => Volatile.Read(ref keys).TryGetValue(key.Sha256, out var found) && found == key;

    /// <summary>Reads the section. Every error is added as a sentence that names the setting, never a key.</summary>
    public static FrozenDictionary<string, ApiKey> Read(IConfiguration configuration, bool withDemo, IReadOnlyCollection<Scope> scopes, ICollection<string> errors)
    {
        var keys = new Dictionary<string, ApiKey>(StringComparer.Ordinal);
        var sdkApiKeys = new HashSet<string>(StringComparer.Ordinal);
        var section = configuration.GetSection("Recognize:Customers");
        var customers = section.GetChildren().ToList();
        if (withDemo)
        {
            DemoCustomer.AddTo(keys, sdkApiKeys, scopes);
        }
        else if (customers.Count == 0)
        {
            errors.Add("Recognize:Customers is empty: without a customer nobody can call the service.");
        }

        foreach (var customer in customers)
        {
            // Some letters outside ASCII have a lower-case form in ASCII, which would make two names the same.
            var name = Ascii.IsValid(customer.Key) ? customer.Key.ToLowerInvariant() : customer.Key;
            var setting = customer.Path;
            if (OperationLimits.ErrorInCustomer(name) is { } error)
            {
                errors.Add($"{setting}: {error}");
            }
            else if (withDemo && name == DemoCustomer.Name)
            {
                errors.Add($"{setting}: the name '{name}' belongs to the demo customer of the Development environment.");
            }

            RefuseUnknown(customer, ["SdkApiKey", "Keys"], errors);
            var sdkApiKey = customer["SdkApiKey"];
            if (sdkApiKey is not { Length: > 0 and <= LongestKey } || sdkApiKey.AsSpan().ContainsAnyExceptInRange('!', '~'))
            {
                errors.Add($"{setting}:SdkApiKey must be 1 to {LongestKey} visible ASCII characters: the public identifier that answers show as apiKey.");
            }
            else if (!sdkApiKeys.Add(sdkApiKey))
            {
                errors.Add($"{setting}:SdkApiKey is used by two customers.");
            }

            var configured = customer.GetSection("Keys").GetChildren().ToList();
            if (configured.Count == 0)
            {
                errors.Add($"{setting}:Keys is empty: the customer could not call the service.");
            }

            foreach (var key in configured)
            {
                ReadKey(key, new Customer(name, sdkApiKey ?? ""), keys, withDemo, scopes, errors);
            }
        }

        if (sdkApiKeys.Any(sdkApiKey => keys.ContainsKey(HashOf(sdkApiKey))))
        {
            errors.Add("Recognize:Customers: an SdkApiKey is shown in answers and must not be one of the keys.");
        }

        return keys.ToFrozenDictionary(StringComparer.Ordinal);
    }

    public static string HashOf(string key) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(key)));

    public void Dispose() => files.Changed -= Reload;

    private static void ReadKey(IConfigurationSection key, Customer customer, Dictionary<string, ApiKey> keys, bool withDemo, IReadOnlyCollection<Scope> known, ICollection<string> errors)
    {
        RefuseUnknown(key, ["Sha256", "Scopes"], errors);
        var scopes = new HashSet<Scope>();
        var names = string.Join(" or ", known.Select(scope => $"'{scope.Name}'"));
        foreach (var entry in key.GetSection("Scopes").GetChildren())
        {
            if (known.FirstOrDefault(scope => scope.Name == entry.Value) is { } scope)
            {
                scopes.Add(scope);
            }
            else
            {
                errors.Add($"{entry.Path} must be {names}.");
            }
        }

        if (scopes.Count == 0)
        {
            errors.Add($"{key.Path}:Scopes must hold {names}, or several of them.");
        }

        var hash = key["Sha256"] ?? "";
        if (hash.Length != SHA256.HashSizeInBytes * 2 || hash.AsSpan().ContainsAnyExcept(LowerHex))
        {
            errors.Add($"{key.Path}:Sha256 must be the SHA-256 of the key as {SHA256.HashSizeInBytes * 2} lower-case hexadecimal digits.");
        }
        else if (!withDemo && DemoCustomer.IsDemoKey(hash, known))
        {
            errors.Add($"{key.Path}:Sha256 is that of a demo key, which everybody knows.");
        }
        else if (!keys.TryAdd(hash, new ApiKey(customer, scopes, hash)))
        {
            errors.Add($"{key.Path}:Sha256 is used twice.");
        }
    }

    private static void RefuseUnknown(IConfigurationSection section, string[] known, ICollection<string> errors)
    {
        foreach (var child in section.GetChildren().Where(child => !known.Contains(child.Key, StringComparer.OrdinalIgnoreCase)))
        {
            errors.Add($"{child.Path} is not a setting of this service.");
        }
    }

    private void Reload()
    {
        // The first check of the files can run at the same time as the start.
        lock (gate)
        {
            var errors = new List<string>();
            var next = Read(configuration, withDemo, scopes, errors);
            var report = string.Join(" ", files.Faults.Concat(errors));
            if (errors.Count == 0)
            {
                // A file that cannot be read keeps its last good content here, so that keys removed from other files
                // still lose effect.
                var before = keys;
                var changed = before.Count > 0 && ((lastReport.Length > 0 && report.Length == 0) || !SameKeys(keys, next));
                Volatile.Write(ref keys, next);
                if (changed)
                {
                    Log.Changed(logger, next.Values.Select(key => key.Customer.Name).Distinct().Count(), next.Count);
                    audit.RecordChange(before, next);
                    Changed?.Invoke();
                }
            }

            if (report.Length > 0 && report != lastReport)
            {
                Log.Refused(logger, report);
            }

            lastReport = report;
        }
    }

    private static bool SameKeys(FrozenDictionary<string, ApiKey> one, FrozenDictionary<string, ApiKey> other) =>
        one.Count == other.Count && one.All(pair => other.TryGetValue(pair.Key, out var key) && key == pair.Value);

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "The customers changed: {Customers} customers with {Keys} keys are live now.")]
        public static partial void Changed(ILogger logger, int customers, int keys);

        [LoggerMessage(2, LogLevel.Error, "The changed configuration is refused and the last good one stays in force: {Errors}")]
        public static partial void Refused(ILogger logger, string errors);
    }
}
