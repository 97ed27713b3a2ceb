using System.Text.Json;
using System.Text.Json.Serialization;
using Orleans.Providers;
using Orleans.Storage;

namespace Recognize.Orleans.Storage;

/// <summary>
/// Writes one row of this node's own as grains write theirs: inserts, changes and deletes it. What a look cannot see is found by it: a full disk, a missing right.
/// </summary>
internal sealed class WriteProbe(IServiceProvider services, ILocalSiloDetails silo)
{
    private const string Type = "probe";

    // Braces in a key would be taken for a format by Orleans' own storage; escaped there are none.
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
            // Another node has the same name, or a probe without an answer was done after all; and a full queue says nothing about the database.
        }
    }
}

/// <summary>Nothing but that it was written.</summary>
internal sealed record ProbeState : IStoredState
{
    [JsonPropertyName("v")]
    public int Format { get; init; } = StateSerializer.Format;

    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }
}
