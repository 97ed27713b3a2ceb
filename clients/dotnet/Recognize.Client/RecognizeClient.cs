using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using Microsoft.Kiota.Abstractions;
using Microsoft.Kiota.Abstractions.Authentication;
using Microsoft.Kiota.Http.HttpClientLibrary;
using Recognize.Client.Api;
using Recognize.Client.Api.Models;

namespace Recognize.Client;

/// <summary>The client of one customer's key. An error answer is thrown as <see cref="ProblemBody"/>: decide by its type.</summary>
public sealed class RecognizeClient
{
    internal const string Calls = "Recognize.Client";
    internal const string Waits = "Recognize.Client.Waits";
    internal const int LongestWait = 60;

    // A connection may be lost without a word, so no answer is awaited much longer than the service takes.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(15);

    private readonly RecognizeApi waits;

    /// <summary>For the container; see <see cref="RecognizeClientRegistration.AddRecognizeClient"/>.</summary>
    public RecognizeClient(IHttpClientFactory clients)
    {
        Api = Over(clients.CreateClient(Calls));
        waits = Over(clients.CreateClient(Waits));
    }

    /// <summary>Every call of the API, typed. What may be repeated is sent again when the service or the connection fails.</summary>
    public RecognizeApi Api { get; }

    /// <summary>
    /// Reads the operation as soon as it is no longer pending. When the time is over it is still pending. Survives lost
    /// connections and restarts of the service.
    /// </summary>
    /// <param name="operationId">The id that the create had.</param>
    /// <param name="timeout">How long to wait; null: until there is an outcome.</param>
    /// <param name="cancellationToken">Ends the wait with an exception.</param>
    public async Task<OperationBody> WaitForOutcomeAsync(string operationId, TimeSpan? timeout = null, CancellationToken cancellationToken = default)
    {
        var time = Stopwatch.StartNew();
        for (var attempt = 0; ; attempt++)
        {
            var begun = time.Elapsed;
            var seconds = (int)Math.Min(LongestWait, (Rest() ?? TimeSpan.MaxValue).TotalSeconds);
            TimeSpan pause;
            try
            {
                using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
                patience.CancelAfter(TimeSpan.FromSeconds(seconds) + Patience);
                var operation = await waits.V2.Operations[operationId].GetAsync(request => Prefer(request.Headers, seconds), patience.Token).ConfigureAwait(false);
                if (operation is { Status: not "pending" } || (operation is not null && Rest() == TimeSpan.Zero))
                {
                    return operation;
                }

                // A proxy that does not pass the preference on must not be asked without a pause.
                attempt = 0;
                pause = time.Elapsed - begun < TimeSpan.FromSeconds(1) ? TimeSpan.FromSeconds(1) : TimeSpan.Zero;
            }
            catch (Exception exception) when (MayPass(exception, cancellationToken) && Rest() != TimeSpan.Zero)
            {
                pause = PauseBefore(attempt, exception);
            }

            await Task.Delay(Rest() is { } rest && rest < pause ? rest : pause, cancellationToken).ConfigureAwait(false);
        }

        TimeSpan? Rest() => timeout is { } limit ? (limit > time.Elapsed ? limit - time.Elapsed : TimeSpan.Zero) : null;
    }

    /// <summary>The user's pending list, now and after every change, until it is left or cancelled. Connects again by itself.</summary>
    /// <param name="userId">The user: upper-case hexadecimal digits.</param>
    /// <param name="lastEventId">The id of the last list that was seen: the first one then comes only if it is another one.</param>
    /// <param name="cancellationToken">Ends it with an exception.</param>
    public async IAsyncEnumerable<PendingList> FollowPendingAsync(string userId, string? lastEventId = null, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        EventReader? events = null;
        try
        {
            for (var attempt = 0; ; attempt++)
            {
                PendingList? list = null;
                var pause = TimeSpan.Zero;
                try
                {
                    events ??= await ConnectAsync().ConfigureAwait(false);
                    list = await events.NextAsync(cancellationToken).ConfigureAwait(false);
                }
                catch (Exception exception) when (MayPass(exception, cancellationToken))
                {
                    pause = PauseBefore(attempt, exception);
                }

                if (list is not null)
                {
                    (attempt, lastEventId) = (0, list.Id);
                    yield return list;
                    continue;
                }

                events?.Dispose();
                events = null;
                await Task.Delay(pause > TimeSpan.Zero ? pause : PauseBefore(attempt, null), cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            events?.Dispose();
        }

        async Task<EventReader> ConnectAsync()
        {
            using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
            patience.CancelAfter(Patience);
            var stream = await waits.V2.Users[userId].Operations.Events.GetAsync(request => Resume(request.Headers, lastEventId), patience.Token).ConfigureAwait(false);
            return new(stream!);
        }
    }

    /// <summary>Whether the same request may succeed a moment later, as the service or a proxy before it says.</summary>
    internal static bool IsTransient(int status) => status is 429 or 502 or 503 or 504;

    /// <summary>
    /// How long to wait for an answer's <c>Retry-After</c> (RFC 9110, 10.2.3); null when it is neither seconds nor a date.
    /// Whoever says zero must not be asked without a pause, nor anybody wait for hours.
    /// </summary>
    internal static TimeSpan? PauseOf(string? retryAfter)
    {
        double? seconds = retryAfter is { Length: > 0 } && retryAfter.All(char.IsAsciiDigit) ? double.Parse(retryAfter, CultureInfo.InvariantCulture)
            : RetryConditionHeaderValue.TryParse(retryAfter, out var condition) && condition.Date is { } date ? (date - DateTimeOffset.UtcNow).TotalSeconds
            : null;
        return seconds is { } asked ? TimeSpan.FromSeconds(Math.Clamp(asked, 0.25, 30)) : null;
    }

    private static bool MayPass(Exception exception, CancellationToken cancellationToken) => !cancellationToken.IsCancellationRequested && exception switch
    {
        ApiException answer => IsTransient(answer.ResponseStatusCode),
        HttpRequestException or IOException or OperationCanceledException => true,
        _ => false,
    };

    // As long as the answer says, or longer with each failure. Clients that lost one process must not come back to the next
    // one all at the same moment.
    private static TimeSpan PauseBefore(int attempt, Exception? exception) =>
        (exception is ApiException { ResponseHeaders: { } headers }
            ? PauseOf(headers.FirstOrDefault(header => header.Key.Equals("Retry-After", StringComparison.OrdinalIgnoreCase)).Value?.FirstOrDefault())
            : null)
        ?? TimeSpan.FromMilliseconds(Math.Min(250 * Math.Pow(2, attempt), 5000) * (0.5 + (Random.Shared.NextDouble() / 2)));

    private static void Prefer(RequestHeaders headers, int seconds)
    {
        if (seconds > 0)
        {
            headers.Add("Prefer", string.Create(CultureInfo.InvariantCulture, $"wait={seconds}"));
        }
    }

    private static void Resume(RequestHeaders headers, string? lastEventId)
    {
        if (lastEventId is not null)
        {
            headers.Add("Last-Event-ID", lastEventId);
        }
    }

    // The address of the client is the base of every path. Kiota's own retries are not among the client's handlers.
    private static RecognizeApi Over(HttpClient client) =>
        new(new HttpClientRequestAdapter(new AnonymousAuthenticationProvider(), httpClient: client) { BaseUrl = client.BaseAddress!.ToString().TrimEnd('/') });
}
