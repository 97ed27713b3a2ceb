using System.Text.Json.Serialization;
using Orleans.Providers;
using Orleans.Storage;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Cluster;

/// <summary>
/// Writes one row of this node's own as grains write theirs: inserts, updates and deletes it. It finds what a check of
/// the database cannot see, such as a full disk or a missing right.
/// </summary>
internal sealed class WriteProbe(IServiceProvider services, ILocalSiloDetails silo)
{
    private const string Type = "probe";

    // Orleans' own storage would read braces in a key as a format string. Escaping removes them.
    private readonly GrainId id = GrainId.Create(Type, $"{Type}/{Uri.EscapeDataString(silo.Name)}/");

    public async Task RunAsync()
    {
        var storage = services.GetRequiredKeyedService<IGrainStorage>(ProviderConstants.DEFAULT_STORAGE_PROVIDER_NAME);
        try
        {
            // A node that was killed may have left its row.
            var row = new GrainState<ProbeState>();
            await storage.ReadStateAsync(Type, id, row);
            row.State = new();
            await storage.WriteStateAsync(Type, id, row);
            await storage.WriteStateAsync(Type, id, row);
            await storage.ClearStateAsync(Type, id, row);
        }
        catch (Exception taken) when (taken is InconsistentStateException or StorageBusyException)
        {
            // Another node has the same name, or an earlier probe with an unknown outcome was written after all. A full
            // queue says nothing about the database.
        }
    }
}

/// <summary>A state without content: only whether it can be written matters.</summary>
internal sealed record ProbeState;

[JsonSerializable(typeof(ProbeState))]
internal sealed partial class ProbeJson : JsonSerializerContext;
