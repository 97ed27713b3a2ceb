using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.FileProviders;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Customers;

/// <summary>
/// Reloads the settings files that change while the service runs. A file that cannot be read keeps its last good
/// content and does not hold up a change of another.
/// </summary>
// A file watcher checks the file and its time. It does not notice that a link further up now points to another folder,
// which is how Kubernetes changes a mounted ConfigMap or Secret. So the contents themselves are compared.
internal sealed class SettingsFiles(IConfiguration configuration) : BackgroundService
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly Dictionary<IConfigurationProvider, string> contents = [];
    private readonly ConcurrentDictionary<IConfigurationProvider, string> broken = new();

    /// <summary>Raised when files have changed, after all that changed at once were read.</summary>
    public event Action? Changed;

    /// <summary>A sentence for each file that cannot be read now.</summary>
    public IEnumerable<string> Faults => broken.Values.Order(StringComparer.Ordinal);

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        // By the machine's clock: a revoked key must lose effect whatever the service's clock says.
        using var timer = new PeriodicTimer(Pause);
        do
        {
            Look();
        }
        while (await timer.WaitForNextTickAsync(stoppingToken));
    }

    private void Look()
    {
        var changed = false;
        foreach (var provider in ((IConfigurationRoot)configuration).Providers.Where(provider => provider is FileConfigurationProvider or SettingPerFile))
        {
            // The content is hashed before it is loaded: a change in between is found the next time.
            var content = ContentOf(provider);
            if (contents.GetValueOrDefault(provider) != content)
            {
                contents[provider] = content;
                changed |= TryLoad(provider);
            }
        }

        if (changed)
        {
            Changed?.Invoke();
        }
    }

    /// <returns>Whether there is news: new content, or a new error.</returns>
    private bool TryLoad(IConfigurationProvider provider)
    {
        try
        {
            if (provider is FileConfigurationProvider file)
            {
                // A file that existed at the start and is deleted has no settings any more.
                file.Source.Optional = true;
            }

            provider.Load();
            broken.TryRemove(provider, out _);
            return true;
        }
        catch (Exception exception)
        {
            // The cause may pass without a change of the content, so it is tried again.
            contents.Remove(provider);
            var before = broken.GetValueOrDefault(provider);
            var name = provider is SettingPerFile folder ? folder.Directory : ((FileConfigurationProvider)provider).Source.Path;
            return before != (broken[provider] = $"{name} cannot be read: {exception.GetBaseException().Message}");
        }
    }

    /// <summary>A hash of the names and contents of the files that a provider reads.</summary>
    private static string ContentOf(IConfigurationProvider provider)
    {
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (var file in provider is SettingPerFile folder ? folder.Files : FileOf(((FileConfigurationProvider)provider).Source))
            {
                using var stream = file.CreateReadStream();
                hash.AppendData(SHA256.HashData(Encoding.UTF8.GetBytes(file.Name)));
                hash.AppendData(SHA256.HashData(stream));
            }

            return Convert.ToHexString(hash.GetHashAndReset());
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return exception.Message;
        }
    }

    private static IEnumerable<IFileInfo> FileOf(FileConfigurationSource source) => source.FileProvider?.GetFileInfo(source.Path ?? "") is { Exists: true } file ? [file] : [];
}
