using System.Diagnostics;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Kiota.Abstractions;
using Recognize.Client;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.Clients;

/// <summary>What the clients make of an answer that is no outcome.</summary>
public sealed class ClientRetryTests
{
    [Theory]
    [InlineData("7", 7.0)]
    [InlineData("0", 0.25)]
    [InlineData("86400", 30.0)]
    [InlineData("99999999999999999999", 30.0)]
    [InlineData("Wed, 21 Oct 2015 07:28:00 GMT", 0.25)]
    [InlineData("Fri, 31 Dec 9999 23:59:59 GMT", 30.0)]
    [InlineData("-1", null)]
    [InlineData("NaN", null)]
    [InlineData("soon", null)]
    [InlineData(null, null)]
    public void A_pause_is_as_long_as_the_answer_says_but_neither_none_nor_hours(string? retryAfter, double? seconds) =>
        Assert.Equal(seconds, RecognizeClient.PauseOf(retryAfter)?.TotalSeconds);

    [Fact]
    public async Task A_call_that_is_told_to_come_back_at_once_pauses_all_the_same()
    {
        var asked = new List<long>();
        await using var busy = await ServeAsync(context =>
        {
            asked.Add(Stopwatch.GetTimestamp());
            (context.Response.StatusCode, context.Response.Headers.RetryAfter) = (asked.Count == 1 ? StatusCodes.Status503ServiceUnavailable : StatusCodes.Status404NotFound, "0");
            return Task.CompletedTask;
        });
        await using var services = Services(busy);

        await Assert.ThrowsAnyAsync<ApiException>(() => services.GetRequiredService<RecognizeClient>().Api.V2.Operations["txn-1"].GetAsync());

        Assert.Equal(2, asked.Count);
        Assert.True(Stopwatch.GetElapsedTime(asked[0], asked[1]) >= TimeSpan.FromMilliseconds(240));
    }

    [Fact]
    public async Task A_redirect_is_not_followed_so_that_nobody_else_gets_the_key()
    {
        var keys = 0;
        await using var other = await ServeAsync(context =>
        {
            keys += context.Request.Headers.ContainsKey("X-Api-Key") ? 1 : 0;
            return context.Response.WriteAsync("{}");
        });
        await using var redirecting = await ServeAsync(context =>
        {
            (context.Response.StatusCode, context.Response.Headers.Location) = (StatusCodes.Status307TemporaryRedirect, other.Urls.Single());
            return Task.CompletedTask;
        });
        await using var services = Services(redirecting);

        var answer = await Assert.ThrowsAnyAsync<ApiException>(() => services.GetRequiredService<RecognizeClient>().Api.V2.Operations["txn-1"].GetAsync());

        Assert.Equal((StatusCodes.Status307TemporaryRedirect, 0), (answer.ResponseStatusCode, keys));
    }

    [SkippableFact]
    public async Task The_client_in_typescript_passes_its_own_tests()
    {
        await TypeScriptJourney.SkipUnlessBuiltAsync();
        var start = new ProcessStartInfo("node", ["--test", Repository.PathOf("clients/typescript/test/retry.test.ts")]) { RedirectStandardOutput = true };
        using var tests = Process.Start(start)!;

        var output = await tests.StandardOutput.ReadToEndAsync();
        await tests.WaitForExitAsync();

        Assert.True(tests.ExitCode == 0, output);
        Assert.Contains("pass 3", output, StringComparison.Ordinal);
    }

    private static ServiceProvider Services(WebApplication server) => new ServiceCollection()
        .AddRecognizeClient(options => (options.BaseAddress, options.ApiKey) = (new(server.Urls.Single()), "a-key"))
        .BuildServiceProvider();

    private static async Task<WebApplication> ServeAsync(RequestDelegate answer)
    {
        var app = WebApplication.CreateSlimBuilder().Build();
        app.Urls.Add("http://127.0.0.1:0");
        app.Run(answer);
        await app.StartAsync();
        return app;
    }
}
