using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Api;

/// <summary>A HEAD is answered like the GET, but for the body (RFC 9110, 9.3.2).</summary>
[Collection("SQLite")]
public sealed class HeadTests(SqliteService fixture)
{
    // What two answers to one question differ in, and what says how a body is sent.
    private static readonly string[] OfOneAnswer = ["Date", "Transfer-Encoding", "Content-Length"];

    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [Theory]
    [InlineData("/v2/operations/{id}", 200)]
    [InlineData("/v2/operations/none", 404)]
    [InlineData("/v2/operations/%ff", 400)]
    [InlineData("/v2/users/{user}/operations", 200)]
    [InlineData("/v2/users/{user}/operations?limit=0", 400)]
    [InlineData("/v2/users/{user}/operations/pending", 200)]
    [InlineData("/v2/users/a1/operations/pending", 400)]
    [InlineData("/v2/users/a1/operations/events", 406)]
    [InlineData("/v2/nothing", 404)]
    [InlineData("/v2/operations/{id}/cancel", 405)]
    [InlineData("/openapi/v2.json", 200)]
    [InlineData("/openapi/v3.json", 404)]
    [InlineData("/docs/", 200)]
    [InlineData("/docs/scalar.js", 200)]
    public async Task A_head_has_the_status_and_the_headers_of_the_get(string target, int status)
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        var path = target.Replace("{id}", id, StringComparison.Ordinal).Replace("{user}", user, StringComparison.Ordinal);
        (string, string)[] accept = [("Accept", target.StartsWith("/v2", StringComparison.Ordinal) ? "application/json" : "*/*")];

        var got = (await api.SendRawAsync("GET", path, null, accept)).ShouldBe(status);
        var asked = (await api.SendRawAsync("HEAD", path, null, accept)).ShouldBe(status);

        Assert.Equal(Headers(got), Headers(asked));
        Assert.Contains(asked["Content-Length"], (string?[])[got["Content-Length"], null]);
        Assert.NotEmpty(got.Body);
        Assert.Empty(asked.Body);
    }

    [Fact]
    public async Task A_head_needs_the_key_and_the_scope_of_the_get()
    {
        var path = $"/v2/operations/{id}";

        (await new ApiClient(fixture.Service.Api, key: null).SendRawAsync("HEAD", path)).ShouldBe(401);
        (await new ApiClient(fixture.Service.Api, TestCustomers.AcmeDecisions).SendRawAsync("HEAD", path)).ShouldBe(403);
        (await new ApiClient(fixture.Service.Api, TestCustomers.GlobexBoth).SendRawAsync("HEAD", path)).ShouldBe(404);
    }

    [Fact]
    public async Task A_head_of_a_list_that_the_client_has_is_304()
    {
        var path = $"/v2/users/{user}/operations/pending";
        var tag = (await fixture.Service.Acme.SendRawAsync("HEAD", path)).ShouldBe(200)["ETag"]!;

        Assert.Equal(tag, (await fixture.Service.Acme.SendRawAsync("HEAD", path, null, ("If-None-Match", tag))).ShouldBe(304)["ETag"]);
    }

    // A client that waits for no body waits for no change either.
    [Fact]
    public async Task A_head_never_waits()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        var list = $"/v2/users/{user}/operations/pending";
        var tag = (await api.ListAsync(user))["ETag"]!;

        var answers = await Task.WhenAll(
            api.SendRawAsync("HEAD", $"/v2/operations/{id}", null, ("Prefer", "wait=60")),
            api.SendRawAsync("HEAD", list, null, ("Prefer", "wait=60"), ("If-None-Match", tag))).WaitAsync(TimeSpan.FromSeconds(20));

        Assert.Equal([200, 304], answers.Select(answer => answer.Status));
        Assert.All(answers, answer => Assert.Null(answer["Preference-Applied"]));
    }

    [Fact]
    public async Task A_head_of_a_stream_is_answered_with_its_headers_and_ends()
    {
        var path = $"/v2/users/{user}/operations/events";

        var answer = (await fixture.Service.Acme.SendRawAsync("HEAD", path, null, ("Accept", "text/event-stream"))).ShouldBe(200);

        Assert.Equal(("text/event-stream", "no-store", "no", ""), (answer["Content-Type"], answer["Cache-Control"], answer["X-Accel-Buffering"], answer.Body));
        Assert.Null(answer["Content-Length"]);
        (await fixture.Service.Acme.SendRawAsync("HEAD", path, null, ("Accept", "application/json"))).ShouldBe(406);
        (await fixture.Service.Acme.SendRawAsync("HEAD", "/v2/users/a1/operations/events")).ShouldBe(400);
    }

    private static IEnumerable<KeyValuePair<string, string>> Headers(Answer answer) =>
        answer.Headers.Where(header => !OfOneAnswer.Contains(header.Key)).OrderBy(header => header.Key, StringComparer.Ordinal);
}
