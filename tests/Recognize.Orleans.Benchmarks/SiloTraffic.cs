using System.Diagnostics;
using System.Globalization;
using System.Text.RegularExpressions;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What silos of this machine have sent each other, as <c>ss</c> tells of their sockets (Linux only).</summary>
internal static partial class SiloTraffic
{
    private const string Program = "/usr/bin/ss";

    /// <summary>Bytes in both directions of the connections that were taken at these ports; null where nothing tells.</summary>
    public static long? Bytes(IReadOnlyList<Server> silos)
    {
        var ports = silos.Select(silo => silo.SiloPort).OfType<int>().ToList();
        if (ports.Count < 2 || !File.Exists(Program))
        {
            return null;
        }

        var start = new ProcessStartInfo(Program, ["-tinH", "state", "established", $"( {string.Join(" or ", ports.Select(port => $"sport = :{port}"))} )"]) { RedirectStandardOutput = true };
        using var listing = Process.Start(start)!;
        return Count().Matches(listing.StandardOutput.ReadToEnd()).Sum(count => long.Parse(count.Groups[1].ValueSpan, NumberStyles.None, CultureInfo.InvariantCulture));
    }

    [GeneratedRegex(@"\bbytes_(?:sent|received):(\d+)")]
    private static partial Regex Count();
}
