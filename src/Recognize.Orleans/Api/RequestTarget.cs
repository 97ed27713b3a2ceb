using System.Text;
using Microsoft.AspNetCore.Http.Features;

namespace Recognize.Orleans.Api;

/// <summary>
/// Takes ids from the request line as the client sent it. The server's own decoding merges targets that are different
/// here: it resolves dot segments, and gives <c>a%2Fb</c> and <c>a%252Fb</c> the same route value.
/// </summary>
internal static class RequestTarget
{
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>
    /// Routes by the undecoded path. A route value is then the raw segment, which <see cref="TryDecode"/> reads.
    /// </summary>
    public static IApplicationBuilder UseRawRequestTarget(this IApplicationBuilder app) => app.Use((context, next) =>
    {
        var target = context.Features.Get<IHttpRequestFeature>()?.RawTarget ?? "";
        var path = PathOf(target);
        if (path is not null)
        {
            context.Request.Path = new PathString(path);
        }

        return next(context);
    });

    /// <summary>Decodes one percent-encoded path segment (RFC 3986); false when it is not valid.</summary>
    public static bool TryDecode(string segment, out string text)
    {
        text = segment;
        if (!segment.Contains('%', StringComparison.Ordinal))
        {
            // Kestrel lets raw Latin-1 through. It is not UTF-8, so it is unclear what the client meant.
            return Ascii.IsValid(segment);
        }

        var bytes = new byte[segment.Length];
        var count = 0;
        for (var i = 0; i < segment.Length; i++, count++)
        {
            if (segment[i] is not '%')
            {
                bytes[count] = (byte)segment[i];
                if (!char.IsAscii(segment[i]))
                {
                    return false;
                }
            }
            else if (i + 2 < segment.Length && char.IsAsciiHexDigit(segment[i + 1]) && char.IsAsciiHexDigit(segment[i + 2]))
            {
                bytes[count] = Convert.FromHexString(segment.AsSpan(i + 1, 2))[0];
                i += 2;
            }
            else
            {
                return false;
            }
        }

        try
        {
            text = StrictUtf8.GetString(bytes, 0, count);
            return true;
        }
        catch (DecoderFallbackException)
        {
            return false;
        }
    }

    // The target is in origin form or, in a request to a proxy, in absolute form (RFC 9112, 3.2).
    private static string? PathOf(string target)
    {
        var query = target.AsSpan().IndexOfAny('?', '#');
        var path = query < 0 ? target : target[..query];
        if (path.StartsWith('/'))
        {
            return path;
        }

        var authority = path.IndexOf("://", StringComparison.Ordinal);
        if (authority < 0)
        {
            return null;
        }

        var start = path.IndexOf('/', authority + 3);
        return start < 0 ? "/" : path[start..];
    }
}
