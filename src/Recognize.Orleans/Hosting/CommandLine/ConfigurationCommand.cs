using System.Data.Common;
using Microsoft.Extensions.Configuration.CommandLine;
using Microsoft.Extensions.Configuration.EnvironmentVariables;
using Microsoft.Extensions.Configuration.Json;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting.CommandLine;

/// <summary>The command <c>print-config</c>.</summary>
internal static class ConfigurationCommand
{
    private const string Hidden = "(hidden)";

    // Enough to tell two keys apart.
    private const int ShownOfHash = 8;

    private static readonly string[] Sections = ["Recognize", "ConnectionStrings", "Kestrel", "Logging"];
    private static readonly string[] Secrets = ["password", "pwd", "secret", "token"];

    public static async Task<int> RunAsync(string[] configuration)
    {
        var builder = ServiceHost.NewBuilder(configuration);
        var errors = new List<string>();
        var settings = Settings.Read(builder.Configuration, builder.Environment.ContentRootPath, errors, out var defaults);
        CustomerDirectory.Read(builder.Configuration, DemoCustomer.IsOffered(builder.Environment, settings), errors);

        var set = Sections.SelectMany(section => builder.Configuration.GetSection(section).AsEnumerable()).Where(setting => setting.Value is not null).Select(setting => setting.Key);
        foreach (var key in set.Concat(defaults.Keys).Distinct(StringComparer.OrdinalIgnoreCase).Order(StringComparer.OrdinalIgnoreCase))
        {
            var (text, source) = string.IsNullOrWhiteSpace(builder.Configuration[key]) && defaults.ContainsKey(key)
                ? (defaults[key], "default")
                : (builder.Configuration[key], SourceOf(builder.Configuration, key));
            Console.WriteLine($"{key} = {Shown(key, text)}   # {source}");
        }

        if (DemoCustomer.IsOffered(builder.Environment, settings))
        {
            Console.WriteLine("# The demo customer is served: the environment is Development, and every URL is loopback.");
        }

        foreach (var error in errors)
        {
            await Console.Error.WriteLineAsync(error);
        }

        return errors.Count == 0 ? Commands.Done : Commands.Failed;
    }

    private static string Shown(string key, string? text)
    {
        var name = key[(key.LastIndexOf(':') + 1)..];
        return text switch
        {
            null => "(none)",
            _ when Secrets.Any(secret => name.Contains(secret, StringComparison.OrdinalIgnoreCase)) => Hidden,
            _ when key.StartsWith("ConnectionStrings:", StringComparison.OrdinalIgnoreCase) => WithoutSecrets(text),
            _ when name.Equals("Sha256", StringComparison.OrdinalIgnoreCase) && text.Length > ShownOfHash => $"{text[..ShownOfHash]}…",
            _ => text,
        };
    }

    // In a malformed connection string the password may be anywhere, so all of it is hidden.
    private static string WithoutSecrets(string connectionString)
    {
        try
        {
            var parts = new DbConnectionStringBuilder { ConnectionString = connectionString };
            foreach (var name in parts.Keys.Cast<string>().Where(name => Secrets.Any(secret => name.Contains(secret, StringComparison.OrdinalIgnoreCase))).ToList())
            {
                parts[name] = Hidden;
            }

            return parts.ConnectionString;
        }
        catch (ArgumentException)
        {
            return Hidden;
        }
    }

    // The last provider that has the key wins.
    private static string SourceOf(IConfigurationRoot configuration, string key) => configuration.Providers.Reverse().FirstOrDefault(provider => provider.TryGet(key, out _)) switch
    {
        JsonConfigurationProvider file => file.Source.Path ?? "file",
        SettingPerFile files => $"file in {files.Directory}",
        EnvironmentVariablesConfigurationProvider => "environment variable",
        CommandLineConfigurationProvider => "command line",
        ChainedConfigurationProvider => "host",
        { } other => other.ToString() ?? other.GetType().Name,
        null => "default",
    };
}
