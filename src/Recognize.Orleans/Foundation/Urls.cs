using System.Net;

namespace Recognize.Orleans.Foundation;

/// <summary>What a URL to listen on means.</summary>
internal static class Urls
{
    public static bool IsLoopback(BindingAddress url) => IsLoopbackHost(url.Host);

    public static bool IsLoopbackHost(string host) =>
        string.Equals(host, "localhost", StringComparison.OrdinalIgnoreCase)
        || (IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address));

    /// <summary>
    /// Whether two URLs conflict, so that only one of them can be listened on. A host that is neither an address nor
    /// localhost means all addresses, because the web server treats it so.
    /// </summary>
    public static bool ShareAddress(BindingAddress one, BindingAddress other)
    {
        return one.Port == other.Port && one.Port != 0 && Addresses(one).Any(address => Addresses(other).Any(second => Overlap(address, second) || Overlap(second, address)));

        static IPAddress[] Addresses(BindingAddress url) =>
            url.Host.Equals("localhost", StringComparison.OrdinalIgnoreCase) ? [IPAddress.Loopback, IPAddress.IPv6Loopback]
            : IPAddress.TryParse(url.Host.Trim('[', ']'), out var address) ? [address]
            : [IPAddress.IPv6Any];

        // A socket bound to [::] accepts IPv4 and IPv6 connections.
        static bool Overlap(IPAddress wide, IPAddress address) =>
            wide.Equals(address) || wide.Equals(IPAddress.IPv6Any) || (wide.Equals(IPAddress.Any) && address.AddressFamily == wide.AddressFamily);
    }

    /// <summary>
    /// URLs for the ports that container images set instead of URLs. They mean every address. Null: no port is set.
    /// </summary>
    public static string? FromPorts(IConfiguration configuration)
    {
        var urls = Ports("http").Concat(Ports("https")).ToList();
        return urls.Count == 0 ? null : string.Join(';', urls);

        IEnumerable<string> Ports(string scheme) =>
            (configuration[$"{scheme}_ports"] ?? "")
                .Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
                .Select(port => $"{scheme}://*:{port}");
    }
}
