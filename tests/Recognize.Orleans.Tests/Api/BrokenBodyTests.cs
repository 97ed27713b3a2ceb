using System.Text;
using Microsoft.Extensions.Logging;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Api;

/// <summary>Bodies whose transfer breaks HTTP.</summary>
public sealed class BrokenBodyTests : IAsyncLifetime
{
    private TestService service = null!;

    public async Task InitializeAsync() => service = await TestService.StartAsync(StorageEngine.Sqlite);

    public async Task DisposeAsync() => await service.DisposeAsync();

    [Theory]
    [InlineData("80000000\r\n")]
    [InlineData("7FFFFFFFF\r\n")]
    [InlineData("FFFFFFFFFFFFFFFFF\r\n")]
    [InlineData("G\r\n")]
    [InlineData("-1\r\n")]
    [InlineData(" 2\r\n{}\r\n0\r\n\r\n")]
    [InlineData("\r\n")]
    [InlineData("0x2\r\n{}\r\n0\r\n\r\n")]
    [InlineData("2\n{}\n0\n\n")]
    [InlineData("2;a\nb\r\n{}\r\n0\r\n\r\n")]
    [InlineData("2\r\n{}xx\r\n0\r\n\r\n")]
    [InlineData("2\r\n{}\r\n80000000\r\n")]
    [InlineData("2\r\n{}\r\n0\r\nno trailer\r\n\r\n")]
    [InlineData("2\r\n{}\r\n0\r\n: no name\r\n\r\n")]
    public async Task Chunks_that_are_none_are_400_and_no_fault_of_the_service(string body)
    {
        (await SendAsync(body)).ShouldBe(Problem.BadRequest);
        (await SendAsync(body, TestCustomers.AcmeBoth, "text/plain")).ShouldBe(Problem.UnsupportedMediaType);
        (await SendAsync(body, "nobody's key")).ShouldBe(Problem.InvalidKey);

        ShouldHaveNoFault();
    }

    [Fact]
    public async Task A_chunk_extension_without_end_is_a_body_that_is_too_large()
    {
        (await SendAsync($"2;{new string('x', ApiContract.LongestBody + 1)}\r\n{{}}\r\n0\r\n\r\n")).ShouldBe(Problem.BodyTooLarge);

        ShouldHaveNoFault();
    }

    [Theory]
    [InlineData("Transfer-Encoding: chunked", "5\r\n{}")]
    [InlineData("Transfer-Encoding: chunked", "2\r\n{}\r\n")]
    [InlineData("Transfer-Encoding: chunked", "2")]
    [InlineData("Content-Length: 5", "{}")]
    public async Task A_body_that_ends_in_the_middle_is_no_fault_of_the_service(string header, string body)
    {
        await RawHttp.SendAndLeaveAsync(service.Api, Request(header, body, TestCustomers.AcmeBoth, "application/json"));

        // Stopped, the service has brought every request to its end.
        await service.StopAsync();
        ShouldHaveNoFault();
    }

    private Task<Answer> SendAsync(string body, string key = TestCustomers.AcmeBoth, string type = "application/json") =>
        RawHttp.SendAsync(service.Api, Request("Transfer-Encoding: chunked", body, key, type));

    private static byte[] Request(string header, string body, string key, string type) => Encoding.Latin1.GetBytes(
        $"POST /v2/users/A1/operations HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Api-Key: {key}\r\nContent-Type: {type}\r\n{header}\r\n\r\n{body}");

    private void ShouldHaveNoFault() => Assert.DoesNotContain(service.Logs.All, line => line.Level >= LogLevel.Warning && !line.Category.StartsWith("Orleans.", StringComparison.Ordinal));
}
