using System.Data.Common;
using Microsoft.Extensions.Configuration.CommandLine;
using Microsoft.Extensions.Configuration.EnvironmentVariables;
using Microsoft.Extensions.Configuration.Memory;
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
        var reader = new SettingsReader(builder.Configuration, builder.Environment.ContentRootPath);
        var (settings, features) = Features.ReadSettings(reader);
        var (errors, defaults) = (new List<string>(reader.Errors), reader.Defaults);
        CustomerDirectory.Read(builder.Configuration, DemoCustomer.IsOffered(builder.Environment, settings.IsLocalOnly), features.Scopes(), errors);

        // The lowest provider: what nothing else sets is shown too.
        builder.Configuration.Sources.Insert(0, new MemoryConfigurationSource { InitialData = defaults });
        ((IConfigurationRoot)builder.Configuration).GetDebugView(setting =>
        {
            if (defaults.ContainsKey(setting.Path) || Sections.Contains(setting.Path.Split(':')[0], StringComparer.OrdinalIgnoreCase))
            {
                // An empty setting is an absent one.
                var isDefault = setting.ConfigurationProvider is MemoryConfigurationProvider || string.IsNullOrWhiteSpace(setting.Value);
                var (text, source) = isDefault ? (defaults.GetValueOrDefault(setting.Path), "default") : (setting.Value, NameOf(setting.ConfigurationProvider));
                Console.WriteLine($"{setting.Path} = {Shown(setting.Path, setting.Key, text)}   # {source}");
            }

            return "";
        });

        if (DemoCustomer.IsOffered(builder.Environment, settings.IsLocalOnly))
        {
            Console.WriteLine("# The demo customer is served: the environment is Development, and every URL is loopback.");
        }

        foreach (var error in errors)
        {
            await Console.Error.WriteLineAsync(error);
        }

        return errors.Count == 0 ? Commands.Done : Commands.Failed;
    }

    private static string Shown(string path, string name, string? text) => text switch
    {
        null => "(none)",
        _ when IsSecret(name) => Hidden,
        _ when path.StartsWith("ConnectionStrings:", StringComparison.OrdinalIgnoreCase) => WithoutSecrets(text),
        _ when name.Equals("Sha256", StringComparison.OrdinalIgnoreCase) && text.Length > ShownOfHash => $"{text[..ShownOfHash]}…",
        _ => text,
    };

    private static bool IsSecret(string name) => Secrets.Any(secret => name.Contains(secret, StringComparison.OrdinalIgnoreCase));

    // In a malformed connection string the password may be anywhere, so all of it is hidden.
    private static string WithoutSecrets(string connectionString)
    {
        try
        {
            var parts = new DbConnectionStringBuilder { ConnectionString = connectionString };
            foreach (var name in parts.Keys.Cast<string>().Where(IsSecret).ToList())
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

    private static string NameOf(IConfigurationProvider provider) => provider switch
    {
        FileConfigurationProvider file => file.Source.Path ?? "file",
        SettingPerFile files => $"file in {files.Directory}",
        EnvironmentVariablesConfigurationProvider => "environment variable",
        CommandLineConfigurationProvider => "command line",
        _ => $"{provider}",
    };
}
