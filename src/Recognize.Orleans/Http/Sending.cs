using Recognize.Orleans.Hosting;

namespace Recognize.Orleans.Http;

/// <summary>Answers that may be large, sent in parts: a client that does not read holds up one part, and is cut off.</summary>
internal static class Sending
{
    /// <summary>The bytes that are handed to a connection at once. The server keeps about as many of what its client has not read.</summary>
    public const int PartBytes = 65_536;

    /// <summary>How long a client may take nothing at all of what is sent to it.</summary>
    public static readonly TimeSpan LongestUnread = TimeSpan.FromSeconds(10);

    /// <summary>Sends bytes at the pace at which the client reads them.</summary>
    /// <exception cref="OperationCanceledException">The client has gone away, or was cut off.</exception>
    public static async Task SendAsync(this HttpResponse response, ReadOnlyMemory<byte> bytes)
    {
        for (; bytes.Length > PartBytes; bytes = bytes[PartBytes..])
        {
            await SendPartAsync(response, bytes[..PartBytes]);
        }

        await SendPartAsync(response, bytes);
    }

    private static async ValueTask SendPartAsync(HttpResponse response, ReadOnlyMemory<byte> part)
    {
        var context = response.HttpContext;
        var sent = response.BodyWriter.WriteAsync(part, context.RequestAborted);
        if (sent.IsCompletedSuccessfully)
        {
            return;
        }

        try
        {
            await sent.AsTask().WaitAsync(LongestUnread, context.RequestServices.GetRequiredService<TimeProvider>(), context.RequestAborted);
        }
        catch (TimeoutException)
        {
            context.RequestServices.GetRequiredService<Metrics>().CutOff();
            context.Abort();
            throw new OperationCanceledException(context.RequestAborted);
        }
    }
}
