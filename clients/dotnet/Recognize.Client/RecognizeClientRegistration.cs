using System.Text.RegularExpressions;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Http.Resilience;
using Microsoft.Extensions.Options;
using Polly;

namespace Recognize.Client;

/// <summary>Adds the client to a container.</summary>
public static partial class RecognizeClientRegistration
{
    // Longer than the service takes for any answer that does not wait for a user.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    /// <summary>
    /// Adds <see cref="RecognizeClient"/>. Its calls are sent again after lost connections and where the service says so, if
    /// they may be repeated: reads, decisions, cancels, and a create with its <c>Idempotency-Key</c>.
    /// </summary>
    /// <param name="services">The container.</param>
    /// <param name="configure">Sets the address and the key.</param>
    public static IServiceCollection AddRecognizeClient(this IServiceCollection services, Action<RecognizeClientOptions> configure)
    {
        services.AddOptions<RecognizeClientOptions>()
            .Configure(configure)
            .Validate(options => options.BaseAddress is { IsAbsoluteUri: true }, $"{nameof(RecognizeClientOptions.BaseAddress)} must be an absolute address.")
            .Validate(options => options.ApiKey is { Length: > 0 }, $"{nameof(RecognizeClientOptions.ApiKey)} must be a key of the service.")
            .Validate(options => options.Retries >= 0, $"{nameof(RecognizeClientOptions.Retries)} must not be negative.");
        services.AddHttpClient(RecognizeClient.Calls, Configure).ConfigurePrimaryHttpMessageHandler(NewHandler).SetHandlerLifetime(Timeout.InfiniteTimeSpan).AddResilienceHandler("calls", (pipeline, context) =>
        {
            var retries = context.ServiceProvider.GetRequiredService<IOptions<RecognizeClientOptions>>().Value.Retries;
            if (retries > 0)
            {
                pipeline.AddRetry(new HttpRetryStrategyOptions
                {
                    MaxRetryAttempts = retries,
                    Delay = TimeSpan.FromMilliseconds(250),
                    MaxDelay = TimeSpan.FromSeconds(5),
                    BackoffType = DelayBackoffType.Exponential,
                    UseJitter = true,
                    DelayGenerator = attempt => ValueTask.FromResult(PauseOf(attempt.Outcome.Result)),
                    ShouldHandle = attempt => ValueTask.FromResult(MayRepeat(attempt.Context.GetRequestMessage()!) && IsTransient(attempt.Outcome)),
                });
            }

            pipeline.AddTimeout(new HttpTimeoutStrategyOptions
            {
                TimeoutGenerator = attempt => ValueTask.FromResult(Patience + PreferredWait(attempt.Context.GetRequestMessage()!)),
            });
        });

        // What waits for a user sends its requests again itself, for as long as it is to wait.
        services.AddHttpClient(RecognizeClient.Waits, Configure).ConfigurePrimaryHttpMessageHandler(NewHandler).SetHandlerLifetime(Timeout.InfiniteTimeSpan);
        services.AddTransient<RecognizeClient>();
        return services;
    }

    // A create may have taken effect although its answer was lost, so it is repeated only with its Idempotency-Key. The same
    // decision or cancel again is answered 200.
    internal static bool MayRepeat(HttpRequestMessage request) =>
        request.Method == HttpMethod.Get
        || request.Method == HttpMethod.Head
        || request.Headers.Contains("Idempotency-Key")
        || DecisionOrCancel().IsMatch(request.RequestUri!.AbsolutePath);

    private static bool IsTransient(Outcome<HttpResponseMessage> outcome) =>
        outcome.Exception is HttpRequestException or Polly.Timeout.TimeoutRejectedException
        || (outcome.Result is { } answer && RecognizeClient.IsTransient((int)answer.StatusCode));

    private static TimeSpan? PauseOf(HttpResponseMessage? answer) =>
        answer is not null && answer.Headers.TryGetValues("Retry-After", out var values) ? RecognizeClient.PauseOf(values.First()) : null;

    private static TimeSpan PreferredWait(HttpRequestMessage request) =>
        request.Headers.TryGetValues("Prefer", out var preferences) && WaitPreference().Match(string.Join(',', preferences)) is { Success: true } wait && int.TryParse(wait.Groups[1].ValueSpan, out var seconds)
            ? TimeSpan.FromSeconds(Math.Min(seconds, RecognizeClient.LongestWait))
            : TimeSpan.Zero;

    // A client may live as long as its process, so connections are what is renewed, and with them the address behind a name.
    // The service never redirects, and nobody else is to see the key.
    private static SocketsHttpHandler NewHandler() => new() { PooledConnectionLifetime = TimeSpan.FromMinutes(2), AllowAutoRedirect = false };

    private static void Configure(IServiceProvider services, HttpClient client)
    {
        var options = services.GetRequiredService<IOptions<RecognizeClientOptions>>().Value;
        client.BaseAddress = options.BaseAddress;
        client.DefaultRequestHeaders.Add("X-Api-Key", options.ApiKey);

        // Each attempt has its own limit.
        client.Timeout = Timeout.InfiniteTimeSpan;
    }

    [GeneratedRegex("/v2/operations/[^/]+/(?:decision|cancel)$")]
    private static partial Regex DecisionOrCancel();

    [GeneratedRegex(@"\bwait=(\d+)")]
    private static partial Regex WaitPreference();
}
