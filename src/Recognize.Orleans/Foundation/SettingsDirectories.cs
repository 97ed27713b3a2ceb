using Microsoft.Extensions.Configuration.CommandLine;
using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.Configuration.KeyPerFile;
using Microsoft.Extensions.FileProviders;

namespace Recognize.Orleans.Foundation;

/// <summary>
/// Folders of mounted settings and secrets. The file <c>settings.json</c> is read like <c>appsettings.json</c>; every
/// other file is one setting, whose name is the file's with <c>__</c> for <c>:</c>.
/// </summary>
internal static class SettingsDirectories
{
    public const string WholeFile = "settings.json";

    private const string Key = "Recognize:SettingsDirectories";

    /// <summary>Adds an error for each folder that does not exist.</summary>
    public static void Check(SettingsReader reader)
    {
        foreach (var directory in Split(reader.Text(Key), reader.ContentRoot).Where(directory => !Directory.Exists(directory)))
        {
            reader.AddError($"{Key} must be folders separated by ';'; {directory} does not exist.");
        }
    }

    /// <summary>Adds the folders that exist. They win over environment variables, and lose to the command line.</summary>
    public static void AddSettingsDirectories(this ConfigurationManager configuration, string contentRoot)
    {
        IList<IConfigurationSource> sources = configuration.Sources;
        foreach (var directory in Split(configuration[Key], contentRoot).Where(Directory.Exists))
        {
            var files = new PhysicalFileProvider(directory);
            sources.Insert(BeforeCommandLine(), new JsonConfigurationSource { FileProvider = files, Path = WholeFile, Optional = true, ReloadOnChange = false });
            sources.Insert(BeforeCommandLine(), new SettingPerFileSource(files));
        }

        // The host has read the command line once before, for its own settings.
        int BeforeCommandLine() => sources.Index().LastOrDefault(source => source.Item is CommandLineConfigurationSource, (sources.Count, null!)).Index;
    }

    private static IEnumerable<string> Split(string? directories, string contentRoot) => (directories ?? "")
        .Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
        .Select(directory => Path.GetFullPath(directory, contentRoot));

    private sealed class SettingPerFileSource(PhysicalFileProvider files) : IConfigurationSource
    {
        public IConfigurationProvider Build(IConfigurationBuilder builder) => new SettingPerFile(files);
    }
}

/// <summary>A folder whose files are one setting each.</summary>
// The provider of the framework, and what is needed to notice that the folder's contents changed.
internal sealed class SettingPerFile(PhysicalFileProvider files)
    : KeyPerFileConfigurationProvider(new() { FileProvider = files, Optional = true, IgnoreCondition = IsIgnored })
{
    public string Directory => files.Root;

    /// <summary>The files that are read.</summary>
    public IEnumerable<IFileInfo> Files => files.GetDirectoryContents("").Where(file => !file.IsDirectory && !IsIgnored(file.Name)).OrderBy(file => file.Name, StringComparer.Ordinal);

    private static bool IsIgnored(string name) => name == SettingsDirectories.WholeFile;
}
