namespace Recognize.Orleans.Api;

/// <summary>Sends answers that may be large.</summary>
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

    /// <summary>
    /// Sends bytes no faster than the client reads them. A client that does not read holds up only one part, and is cut
    /// off.
    /// </summary>
    /// <exception cref="OperationCanceledException">The client has gone away, or was cut off.</exception>
    public static async ValueTask SendAsync(this HttpResponse response, ReadOnlyMemory<byte> bytes)
    {
        if (bytes.Length > PartBytes && !response.HasStarted)
        {
            response.EndConnection();
        }

        var patience = LongestUnread;
        do
        {
            var part = bytes[..Math.Min(bytes.Length, PartBytes)];
            bytes = bytes[part.Length..];

            // Otherwise a client that reads a little now and then could keep an answer in memory for an hour.
            patience += TimeSpan.FromSeconds((double)part.Length / LeastBytesPerSecond) - await SendPartAsync(response, part, patience);
        }
        while (!bytes.IsEmpty);
    }

    // Returns how long the client has taken.
    private static async ValueTask<TimeSpan> SendPartAsync(HttpResponse response, ReadOnlyMemory<byte> part, TimeSpan patience)
    {
        var context = response.HttpContext;
        var sent = response.BodyWriter.WriteAsync(part, context.RequestAborted);
        if (sent.IsCompletedSuccessfully)
        {
            return TimeSpan.Zero;
        }

        var clock = context.RequestServices.GetRequiredService<TimeProvider>();
        var begun = clock.GetTimestamp();
        try
        {
            await sent.AsTask().WaitAsync(patience > TimeSpan.Zero ? patience : TimeSpan.Zero, clock, context.RequestAborted);
        }
        catch (TimeoutException)
        {
            context.RequestServices.GetRequiredService<ApiMetrics>().CutOff();
            context.Abort();

            // The server cancels this token a moment later. It would log an earlier exception as an error of the
            // service.
            await Task.Delay(Timeout.Infinite, context.RequestAborted);
        }

        return clock.GetElapsedTime(begun);
    }
}
