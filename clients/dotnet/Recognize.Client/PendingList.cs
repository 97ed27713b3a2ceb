using Microsoft.Kiota.Abstractions.Serialization;
using Recognize.Client.Api.Models;

namespace Recognize.Client;

/// <summary>The whole list of what waits for a user.</summary>
/// <param name="Id">Identifies the content.</param>
/// <param name="Operations">The oldest first.</param>
public sealed record PendingList(string Id, IReadOnlyList<PendingOperationBody> Operations);

/// <summary>The lists in a body of server-sent events (HTML, 9.2).</summary>
internal sealed class EventReader(Stream stream) : IDisposable
{
    // The service sends something at least every 15 seconds.
    private static readonly TimeSpan LongestSilence = TimeSpan.FromSeconds(45);

    private readonly StreamReader reader = new(stream);
    private string id = "";

    /// <summary>The next list, or null at the end of the body.</summary>
    public async Task<PendingList?> NextAsync(CancellationToken cancellationToken)
    {
        var (name, data) = ("message", new List<string>());
        while (true)
        {
            using var silence = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            silence.CancelAfter(LongestSilence);
            switch (await reader.ReadLineAsync(silence.Token).ConfigureAwait(false))
            {
                case null:
                    return null;
                case "" when name == "pending" && data.Count > 0:
                    return new(id, await ReadAsync(string.Join('\n', data), cancellationToken).ConfigureAwait(false));
                case "":
                    (name, data) = ("message", []);
                    break;
                case { } line when line.StartsWith("event:", StringComparison.Ordinal):
                    name = ValueOf(line);
                    break;
                case { } line when line.StartsWith("id:", StringComparison.Ordinal):
                    id = ValueOf(line);
                    break;
                case { } line when line.StartsWith("data:", StringComparison.Ordinal):
                    data.Add(ValueOf(line));
                    break;
            }
        }
    }

    public void Dispose() => reader.Dispose();

    private static async Task<IReadOnlyList<PendingOperationBody>> ReadAsync(string json, CancellationToken cancellationToken) =>
        [.. await KiotaJsonSerializer.DeserializeCollectionAsync(json, PendingOperationBody.CreateFromDiscriminatorValue, cancellationToken).ConfigureAwait(false)];

    private static string ValueOf(string line) => line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..] is [' ', .. var value] ? value : line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..];
}
