using System.Text.Json;
using Recognize.Orleans.Api;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>An HTTP answer, read to its end.</summary>
internal sealed record Answer(int Status, IReadOnlyDictionary<string, string> Headers, string Body)
{
    public JsonElement Json => JsonDocument.Parse(Body).RootElement;

    /// <summary>The answer's name in the API's document, which has it: <c>getOperation 404 operation-not-found</c>.</summary>
    public string? Documented { get; init; }

    /// <summary>The type of a problem without its <c>urn:recognize:</c>.</summary>
    public string? ProblemName => this["Content-Type"] is "application/problem+json" && Body.Length > 0 ? Json.GetProperty("type").GetString()!["urn:recognize:".Length..] : null;

    public string? this[string header] => Headers.GetValueOrDefault(header);

    /// <summary>The names of the members of a JSON object, sorted.</summary>
    public static IEnumerable<string> MembersOf(JsonElement json) => json.EnumerateObject().Select(member => member.Name).Order(StringComparer.Ordinal);

    public static async Task<Answer> ReadAsync(HttpResponseMessage response, bool withBody = true) => new(
        (int)response.StatusCode,
        response.Headers.Concat(response.Content.Headers).ToDictionary(header => header.Key, header => string.Join(", ", header.Value), StringComparer.OrdinalIgnoreCase),
        withBody ? await response.Content.ReadAsStringAsync() : "");

    public Answer ShouldBe(int status)
    {
        Assert.True(Status == status, $"Expected {status}, got {Status}: {Body}");
        return this;
    }

    public void ShouldBeSuccess()
    {
        ShouldBe(200);
        Assert.Equal("""{"success":true}""", Body);
        Assert.Equal("application/json", this["Content-Type"]);
        Assert.Equal("no-store", this["Cache-Control"]);
    }

    /// <summary>A problem has every member that the API promises and no other, and its detail names what is at fault.</summary>
    public void ShouldBe(Problem problem, string named = "")
    {
        ShouldBe(problem.Status);
        Assert.Equal("application/problem+json", this["Content-Type"]);
        Assert.Equal(["detail", "status", "title", "traceId", "type"], MembersOf(Json));
        Assert.Equal($"urn:recognize:{problem.Name}", Json.GetProperty("type").GetString());
        Assert.Equal(problem.Title, Json.GetProperty("title").GetString());
        Assert.Equal(problem.Status, Json.GetProperty("status").GetInt32());
        Assert.Contains(named, Json.GetProperty("detail").GetString(), StringComparison.Ordinal);
        Assert.NotEmpty(Json.GetProperty("traceId").GetString()!);
        Assert.DoesNotContain("Exception", Body, StringComparison.Ordinal);
    }
}
