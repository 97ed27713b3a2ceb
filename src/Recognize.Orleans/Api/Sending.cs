using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Api;

/// <summary>Sends large answers in parts. A client that does not read holds up only one part, and is cut off.</summary>
internal static class Sending
{
    /// <summary>
    /// How many bytes are written to a connection at once. The server buffers about as many that its client has not
    /// read.
    /// </summary>
    public const int PartBytes = 65_536;

    /// <summary>
    /// The bytes per second of a large answer that a client must read, after a grace of <see cref="LongestUnread"/>.
    /// </summary>
    public const int LeastBytesPerSecond = 65_536;

    /// <summary>How long a client may read nothing at all.</summary>
    public static readonly TimeSpan LongestUnread = TimeSpan.FromSeconds(10);

    /// <summary>
    /// Makes an answer that may outlast a stop the last one of its connection. The service closes its connections just after
    /// the last answer, and a load balancer that had put this one back into its pool would lose the next request on it.
    /// HTTP/2 announces the end of its connections by itself.
    /// </summary>
    public static void EndConnection(this HttpResponse response)
    {
        if (HttpProtocol.IsHttp11(response.HttpContext.Request.Protocol))
        {
            response.Headers.Connection = "close";
        }
    }

    /// <summary>Cuts a body into parts.</summary>
    public static IEnumerable<ReadOnlyMemory<byte>> PartsOf(ReadOnlyMemory<byte> body)
    {
        for (; body.Length > PartBytes; body = body[PartBytes..])
        {
            yield return body[..PartBytes];
        }

        yield return body;
    }

    /// <summary>Sends parts at the rate of the customer's quota, and no faster than the client reads them.</summary>
    /// <exception cref="OperationCanceledException">The client has gone away, or was cut off.</exception>
    public static async Task SendLargeAsync(this HttpResponse response, IEnumerable<ReadOnlyMemory<byte>> parts)
    {
        var context = response.HttpContext;
        var quotas = context.RequestServices.GetRequiredService<CustomerQuotas>();
        var clock = context.RequestServices.GetRequiredService<TimeProvider>();
        var customer = context.Customer().Name;
        var patience = LongestUnread;
        if (!response.HasStarted)
        {
            response.EndConnection();
        }

        foreach (var part in parts)
        {
            await quotas.PaceSendAsync(customer, part.Length, context.RequestAborted);
            var begun = clock.GetTimestamp();
            await response.SendAsync(part, patience);

            // Otherwise a client that reads a little now and then could keep an answer in memory for an hour.
            patience += TimeSpan.FromSeconds((double)part.Length / LeastBytesPerSecond) - clock.GetElapsedTime(begun);
        }
    }

    /// <summary>Sends one part, no faster than the client reads it.</summary>
    /// <inheritdoc cref="SendLargeAsync"/>
    public static ValueTask SendAsync(this HttpResponse response, ReadOnlyMemory<byte> part) => response.SendAsync(part, LongestUnread);

    private static async ValueTask SendAsync(this HttpResponse response, ReadOnlyMemory<byte> part, TimeSpan patience)
    {
        var context = response.HttpContext;
        var sent = response.BodyWriter.WriteAsync(part, context.RequestAborted);
        if (sent.IsCompletedSuccessfully)
        {
            return;
        }

        try
        {
            await sent.AsTask().WaitAsync(patience > TimeSpan.Zero ? patience : TimeSpan.Zero, context.RequestServices.GetRequiredService<TimeProvider>(), context.RequestAborted);
        }
        catch (TimeoutException)
        {
            context.RequestServices.GetRequiredService<ApiMetrics>().CutOff();
            context.Abort();

            // The server cancels this token a moment later. It would log an earlier exception as an error of the
            // service.
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        }
    }
}
