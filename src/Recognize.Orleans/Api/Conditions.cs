using System.Buffers.Text;
using System.Globalization;
using System.Security.Cryptography;
using Microsoft.Net.Http.Headers;

namespace Recognize.Orleans.Api;

/// <summary>The headers by which a client says what it already has and how long it waits for a change.</summary>
internal static class Conditions
{
    /// <summary>The longest time that a client can wait, in seconds.</summary>
    public const int LongestWait = 60;

    /// <summary>The header that says which preference an answer has applied.</summary>
    public const string Applied = "Preference-Applied";

    /// <summary>
    /// How long the client prefers to wait for a change (RFC 7240, 4.3); null: not at all. As the standard says, a
    /// preference that cannot be followed is ignored. A wait of more than a minute is cut to a minute. HEAD is answered
    /// at once.
    /// </summary>
    public static TimeSpan? PreferredWait(HttpContext context)
    {
        var header = context.Request.Headers["Prefer"];
        if (header.Count == 0 || HttpMethods.IsHead(context.Request.Method))
        {
            return null;
        }

        foreach (var preference in header.SelectMany(one => (one ?? "").Split(',')))
        {
            // The first wait of several counts. Parameters follow a semicolon; wait has none.
            if (preference.Split(';')[0].Split('=', 2) is not [var name, var value] || !name.Trim().Equals("wait", StringComparison.OrdinalIgnoreCase))
            {
                continue;
            }

            var digits = HeaderUtilities.RemoveQuotes(value.Trim()).ToString();
            if (!ulong.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var asked) || asked == 0)
            {
                return null;
            }

            var seconds = (int)Math.Min(asked, LongestWait);
            context.Response.Headers[Applied] = FormattableString.Invariant($"wait={seconds}");
            return TimeSpan.FromSeconds(seconds);
        }

        return null;
    }

    /// <summary>
    /// A tag that identifies the content. It depends on nothing else, so it is the same on every node and after every
    /// restart.
    /// </summary>
    public static string TagOf(byte[] content) => Base64Url.EncodeToString(SHA256.HashData(content).AsSpan(..16));

    /// <summary>
    /// A check whether the client has the content of a tag (If-None-Match, RFC 9110, 13.1.2).
    /// </summary>
    public static Func<string, bool> KnownTags(HttpContext context)
    {
        var header = context.Request.Headers.IfNoneMatch;
        return header.Count > 0 && EntityTagHeaderValue.TryParseList([.. header.OfType<string>()], out var known)
            ? tag => known.Any(one => one.Equals(EntityTagHeaderValue.Any) || one.Tag.Equals($"\"{tag}\"", StringComparison.Ordinal))
            : static _ => false;
    }
}
