using System.Net;
using System.Text;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Deployment;

/// <summary>What the load balancer of docker-compose.yml answers by itself. There is no silo behind it: what needs one is 503.</summary>
public sealed class BalancerLimitTests
{
    private const int Limit = 262_144;

    private static readonly Uri[] Nobody = [.. Enumerable.Range(0, 3).Select(_ => new Uri($"http://127.0.0.1:{FreePorts.Next()}"))];

    [SkippableFact]
    public async Task The_configuration_is_one_that_nginx_takes_without_a_warning()
    {
        var (exitCode, said) = await Nginx.CheckAsync(Nobody);

        Assert.True(exitCode == 0, said);
        Assert.DoesNotContain("[warn]", said, StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_body_beyond_the_limit_is_refused_and_no_body_is_written_to_the_disk()
    {
        await using var nginx = await Nginx.StartAsync(Nobody);

        await InOrder.ForEachAsync(["/v2/users/A1/operations", "/v2/operations/txn-1/decision", "/a.html", "/"], async path =>
        {
            var tooLarge = await SendAsync(nginx, path, new byte[Limit + 1]);
            var tooManyChunks = await SendAsync(nginx, path, Chunks(256, "0"), ("Transfer-Encoding", "chunked"));
            tooLarge.ShouldBe(Problem.BodyTooLarge, "131072");
            tooManyChunks.ShouldBe(Problem.BodyTooLarge, "131072");
            Assert.Equal("no-store", tooLarge["Cache-Control"]);
            Assert.Equal("no-store", tooManyChunks["Cache-Control"]);

            (await SendAsync(nginx, path, new byte[Limit])).ShouldBe(Problem.Unavailable);
            (await SendAsync(nginx, path, Chunks(256, ""), ("Transfer-Encoding", "chunked"))).ShouldBe(Problem.Unavailable);
        });

        Assert.DoesNotContain(await nginx.StopAsync(), line => line.Contains("temporary file", StringComparison.Ordinal));
    }

    [SkippableFact]
    public async Task Without_a_silo_the_answer_is_the_services_own_for_such_a_time()
    {
        await using var nginx = await Nginx.StartAsync(Nobody);

        var answer = await SendAsync(nginx, "/v2/users/A1/operations", "{}"u8.ToArray());

        answer.ShouldBe(Problem.Unavailable, "unknown");
        Assert.Equal("1", answer["Retry-After"]);
        Assert.Equal("no-store", answer["Cache-Control"]);
    }

    [SkippableFact]
    public async Task It_answers_over_tls_with_the_certificate_that_is_mounted()
    {
        await using var nginx = await Nginx.StartAsync(Nobody, tls: true);
        using var handler = new HttpClientHandler { ServerCertificateCustomValidationCallback = (_, certificate, _, _) => certificate!.Subject == $"CN={Nginx.CertificateName}" };
        using var client = new HttpClient(handler);

        var answer = await client.GetAsync(new Uri(nginx.Url, "/v2/operations/txn-1"));

        Assert.Equal(HttpStatusCode.ServiceUnavailable, answer.StatusCode);
        Assert.Contains("urn:recognize:service-unavailable", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
    }

    [SkippableFact]
    public async Task A_request_without_tls_is_refused_with_a_problem()
    {
        await using var nginx = await Nginx.StartAsync(Nobody, tls: true);

        var answer = await new ApiClient(new UriBuilder(nginx.Url) { Scheme = "http" }.Uri, ServiceProcess.Key).SendRawAsync("GET", "/v2/operations/txn-1");

        answer.ShouldBe(Problem.BadRequest);
    }

    // nginx decodes a path before anything else, though it passes it on as it came.
    [SkippableTheory]
    [InlineData("/v2/operations/%GG")]
    [InlineData("/v2/operations/%00")]
    [InlineData("/v2/operations/..%2F..%2F..%2Fa")]
    public async Task What_nginx_cannot_read_is_a_problem_too(string target)
    {
        await using var nginx = await Nginx.StartAsync(Nobody);

        var answer = await new ApiClient(nginx.Url, ServiceProcess.Key).SendRawAsync("GET", target);

        answer.ShouldBe(Problem.BadRequest);
        Assert.Equal("no-store", answer["Cache-Control"]);
    }

    private static Task<Answer> SendAsync(Nginx nginx, string path, byte[] body, params (string Name, string Value)[] headers)
    {
        (string, string)[] all = [("Host", "api.example"), ("Content-Type", "application/json"), .. headers];
        var request = headers.Length > 0 ? [.. RawHttp.Request("POST", path, all), .. body] : RawHttp.Request("POST", path, all, body);
        return RawHttp.SendAsync(nginx.Url, request);
    }

    // Of 1 KiB each, and a last one before the end. What divides them needs room in the buffer too.
    private static byte[] Chunks(int count, string last)
    {
        var body = new StringBuilder();
        for (var number = 0; number < count; number++)
        {
            body.Append("400\r\n").Append('0', 1024).Append("\r\n");
        }

        body.Append(last.Length > 0 ? $"{last.Length:X}\r\n{last}\r\n" : "");
        return Encoding.ASCII.GetBytes(body.Append("0\r\n\r\n").ToString());
    }
}
