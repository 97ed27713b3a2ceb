using System.Text.Json;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>A stream of server-sent events as a client reads it.</summary>
internal sealed class EventStream : IDisposable
{
    private readonly HttpResponseMessage response;
    private readonly StreamReader reader;

    private EventStream(HttpResponseMessage response, Answer head)
    {
        this.response = response;
        Head = head;
        reader = new(response.Content.ReadAsStream());
    }

    /// <summary>What came before the events.</summary>
    public Answer Head { get; }

    public int Status => Head.Status;

    /// <summary>Whether the connection takes no other request after the stream.</summary>
    public bool IsLast => response.Headers.ConnectionClose is true;

    public string? MediaType => response.Content.Headers.ContentType?.MediaType;

    /// <summary>Begins to read, when the document has such an answer.</summary>
    public static async Task<EventStream> BeginAsync(HttpResponseMessage response)
    {
        var isStream = response.Content.Headers.ContentType?.MediaType is "text/event-stream";
        return new(response, Check(await Answer.ReadAsync(response, withBody: !isStream)));
    }

    /// <summary>The lines up to the next empty one; none at the end of the stream.</summary>
    public async Task<IReadOnlyList<string>> NextAsync()
    {
        var lines = new List<string>();
        string? line;
        while ((line = await reader.ReadLineAsync().WaitAsync(ClusterFixture.Patience)) is { Length: > 0 })
        {
            lines.Add(line);
        }

        Check(Head with { Body = line is null ? "" : $"{string.Join('\n', lines)}\n\n" });
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

    private static Answer Check(Answer answer) => ApiDocument.Check("GET", "/v2/users/A1/operations/events", answer);

    public void Dispose()
    {
        reader.Dispose();
        response.Dispose();
    }
}
