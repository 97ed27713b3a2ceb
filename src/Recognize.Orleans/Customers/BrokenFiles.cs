using System.Collections.Concurrent;

namespace Recognize.Orleans.Customers;

/// <summary>Files of the configuration that became unreadable while the service runs.</summary>
internal sealed class BrokenFiles
{
    private readonly ConcurrentDictionary<FileConfigurationProvider, string> seen = new();

    /// <summary>A sentence for each file that is unreadable now.</summary>
    // A broken file counts as one without any setting, and nothing tells of its repair but that it has settings again.
    public IEnumerable<string> Faults => seen.Where(file => !file.Key.GetChildKeys([], null).Any()).Select(file => file.Value);

    public void Add(FileLoadExceptionContext context) =>
        seen[context.Provider] = $"{context.Provider.Source.Path} cannot be read: {context.Exception.GetBaseException().Message}";
}
