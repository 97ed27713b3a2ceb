using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting.CommandLine;

/// <summary>The settings among the words of a command line: <c>--key=value</c>, or <c>--key value</c>.</summary>
/// <param name="Configuration">The settings, as the configuration reads them.</param>
/// <param name="Rest">Everything else.</param>
/// <param name="Errors">A sentence for each word that is no setting of this service, or has no value.</param>
internal sealed record ConfigurationSwitches(string[] Configuration, string[] Rest, IReadOnlyList<string> Errors)
{
    // The host itself reads these, before it reads settings.
    private static readonly string[] OfTheHost = ["urls", "http_ports", "https_ports", "environment", "contentRoot"];

    // Sections whose keys this service cannot check: the framework and the administrator define them.
    private static readonly string[] Open = ["Logging:", "Kestrel:", "ConnectionStrings:", "Recognize:Customers:"];

    private static readonly Lazy<HashSet<string>> Known = new(Names);

    public static ConfigurationSwitches Take(string[] args)
    {
        var (configuration, rest, errors) = (new List<string>(), new List<string>(), new List<string>());
        for (var i = 0; i < args.Length; i++)
        {
            if (KeyOf(args[i]) is not { } key)
            {
                rest.Add(args[i]);
                continue;
            }

            configuration.Add(args[i]);
            if (!IsKnown(key))
            {
                errors.Add($"--{key} is not a setting of this service.");
            }

            if (args[i].Contains('=', StringComparison.Ordinal))
            {
                continue;
            }

            if (i + 1 < args.Length && !args[i + 1].StartsWith("--", StringComparison.Ordinal))
            {
                configuration.Add(args[++i]);
            }
            else
            {
                errors.Add($"--{key} needs a value: --{key}=value.");
            }
        }

        return new([.. configuration], [.. rest], errors);
    }

    // Only settings have a colon in their names; those of the host have none.
    private static string? KeyOf(string word)
    {
        if (!word.StartsWith("--", StringComparison.Ordinal))
        {
            return null;
        }

        var key = word[2..].Split('=', 2)[0];
        return key.Contains(':', StringComparison.Ordinal) || OfTheHost.Contains(key, StringComparer.OrdinalIgnoreCase) ? key : null;
    }

    private static bool IsKnown(string key) =>
        OfTheHost.Contains(key, StringComparer.OrdinalIgnoreCase)
        || Open.Any(section => key.StartsWith(section, StringComparison.OrdinalIgnoreCase))
        || Known.Value.Contains(key);

    /// <summary>A reader of no configuration, which learns the names and defaults of all settings.</summary>
    public static SettingsReader Nothing() => new(new ConfigurationBuilder().Build(), Path.GetTempPath());

    private static HashSet<string> Names()
    {
        var reader = Nothing();
        Features.ReadSettings(reader);
        return new(reader.Defaults.Keys, StringComparer.OrdinalIgnoreCase);
    }
}
