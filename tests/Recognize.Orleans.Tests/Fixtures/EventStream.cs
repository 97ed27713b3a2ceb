using System.Text.Json;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>A stream of server-sent events as a client reads it.</summary>
internal sealed class EventStream(HttpResponseMessage response) : IDisposable
{
    private readonly StreamReader reader = new(response.Content.ReadAsStream());

    public int Status => (int)response.StatusCode;

    /// <summary>Whether the connection takes no other request after the stream.</summary>
    public bool IsLast => response.Headers.ConnectionClose is true;

    public string? MediaType => response.Content.Headers.ContentType?.MediaType;

    /// <summary>The lines up to the next empty one; none at the end of the stream.</summary>
    public async Task<IReadOnlyList<string>> NextAsync()
    {
        var lines = new List<string>();
        while (await reader.ReadLineAsync().WaitAsync(ClusterFixture.Patience) is { Length: > 0 } line)
        {
            lines.Add(line);
        }

        return lines;
    }

    /// <summary>The id of the next event, and the ids of the operations in it.</summary>
    public async Task<(string Id, IReadOnlyList<string?> Operations)> NextListAsync()
    {
        var lines = await NextAsync();
        Assert.Collection(
            lines,
            line => Assert.Equal("event: pending", line),
            line => Assert.StartsWith("id: ", line, StringComparison.Ordinal),
            line => Assert.StartsWith("data: [", line, StringComparison.Ordinal));
        var list = JsonDocument.Parse(lines[2]["data: ".Length..]).RootElement;
        return (lines[1]["id: ".Length..], [.. list.EnumerateArray().Select(operation => operation.GetProperty("operationId").GetString())]);
    }

    public void Dispose()
    {
        reader.Dispose();
        response.Dispose();
    }
}
