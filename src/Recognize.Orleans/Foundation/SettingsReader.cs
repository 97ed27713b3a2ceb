using System.Globalization;
using System.Net;

namespace Recognize.Orleans.Foundation;

/// <summary>Reads settings one by one, so that all errors are found at once.</summary>
/// <param name="configuration">The configuration to read.</param>
/// <param name="contentRoot">The folder of the settings files, where relative paths start.</param>
internal sealed class SettingsReader(IConfiguration configuration, string contentRoot)
{
    private readonly List<string> errors = [];
    private readonly Dictionary<string, string?> defaults = new(StringComparer.OrdinalIgnoreCase);

    public IConfiguration Configuration => configuration;

    public string ContentRoot => contentRoot;

    /// <summary>A sentence for each error so far.</summary>
    public IReadOnlyCollection<string> Errors => errors;

    /// <summary>Every setting that was read, and its default; null: it has none.</summary>
    public IReadOnlyDictionary<string, string?> Defaults => defaults;

    public void AddError(string sentence) => errors.Add(sentence);

    public string? Text(string key, string? otherwise = null)
    {
        defaults.TryAdd(key, otherwise);
        return configuration[key] is { } text && !string.IsNullOrWhiteSpace(text) ? text : null;
    }

    public int Number(string key, int otherwise, int least, int most)
    {
        var text = Text(key, otherwise.ToString(CultureInfo.InvariantCulture));
        if (text is null)
        {
            return otherwise;
        }

        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
        {
            return number;
        }

        AddError($"{key} must be a whole number from {least} to {most}; it is '{text}'.");
        return otherwise;
    }

    public int? OptionalNumber(string key, int least, int most) => Text(key) is null ? null : Number(key, least, least, most);

    public bool Flag(string key, bool otherwise)
    {
        var text = Text(key, otherwise ? "true" : "false");
        if (text is null || bool.TryParse(text, out otherwise))
        {
            return otherwise;
        }

        AddError($"{key} must be 'true' or 'false'; it is '{text}'.");
        return otherwise;
    }

    public TimeSpan? OptionalDuration(string key, TimeSpan least, TimeSpan most) =>
        Text(key) is null ? null : Duration(key, least, least, most);

    public TimeSpan Duration(string key, TimeSpan otherwise, TimeSpan least, TimeSpan most)
    {
        var text = Text(key, otherwise.ToString("c", CultureInfo.InvariantCulture));
        if (text is null)
        {
            return otherwise;
        }

        if (TimeSpan.TryParseExact(text, "c", CultureInfo.InvariantCulture, out var duration) && duration >= least && duration <= most)
        {
            return duration;
        }

        AddError($"{key} must be a duration from {least:c} to {most:c}, written [d.]hh:mm:ss; it is '{text}'.");
        return otherwise;
    }

    public TChoice Choice<TChoice>(string key, TChoice otherwise)
        where TChoice : struct, Enum
    {
        var text = Text(key, otherwise.ToString());
        if (text is null)
        {
            return otherwise;
        }

        foreach (var choice in Enum.GetValues<TChoice>())
        {
            if (string.Equals(text, choice.ToString(), StringComparison.OrdinalIgnoreCase))
            {
                return choice;
            }
        }

        AddError($"{key} must be one of {string.Join(", ", Enum.GetNames<TChoice>())}; it is '{text}'.");
        return otherwise;
    }

    public string Choice(string key, string otherwise, IReadOnlyList<string> choices)
    {
        var text = Text(key, otherwise) ?? otherwise;
        if (choices.Contains(text, StringComparer.Ordinal))
        {
            return text;
        }

        AddError($"{key} must be one of {string.Join(", ", choices)}; it is '{text}'.");
        return otherwise;
    }

    public double Fraction(string key, double otherwise)
    {
        if (Text(key, otherwise.ToString(CultureInfo.InvariantCulture)) is not { } text)
        {
            return otherwise;
        }

        if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var fraction) && fraction is >= 0 and <= 1)
        {
            return fraction;
        }

        AddError($"{key} must be a number from 0 to 1; it is '{text}'.");
        return otherwise;
    }

    public string Name(string key, string otherwise, int longest)
    {
        var text = Text(key, otherwise) ?? otherwise;
        if (text.Length > longest || text.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            AddError($"{key} must be 1 to {longest} visible ASCII characters; it is '{text}'.");
        }

        return text;
    }

    public IPAddress Address(string key, IPAddress otherwise)
    {
        var text = Text(key, otherwise.ToString());
        if (text is null)
        {
            return otherwise;
        }

        if (IPAddress.TryParse(text, out var address))
        {
            return address;
        }

        try
        {
            return Dns.GetHostAddresses(text).FirstOrDefault(found => found.AddressFamily is System.Net.Sockets.AddressFamily.InterNetwork)
                ?? throw new System.Net.Sockets.SocketException();
        }
        catch (System.Net.Sockets.SocketException)
        {
            AddError($"{key} must be an IP address of this machine, or a name that resolves to one; '{text}' does not.");
            return otherwise;
        }
    }

    /// <summary>An absolute URL to send to; null: none.</summary>
    public Uri? Url(string key)
    {
        if (Text(key) is not { } text)
        {
            return null;
        }

        if (Uri.TryCreate(text, UriKind.Absolute, out var url) && url.Scheme is "http" or "https")
        {
            return url;
        }

        AddError($"{key} must be a URL like http://localhost:4317; it is '{text}'.");
        return null;
    }

    public IReadOnlyList<BindingAddress> Urls(string key, string otherwise)
    {
        var urls = new List<BindingAddress>();
        var text = Text(key, otherwise) ?? otherwise;
        foreach (var part in text.Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            try
            {
                var url = BindingAddress.Parse(part);
                if (url.Scheme is "http" or "https" && url.PathBase.Length == 0 && !url.IsUnixPipe && !url.IsNamedPipe
                    && url.Port is >= 0 and <= 65_535 && (url.Host is "*" or "+" || Uri.CheckHostName(url.Host) is not UriHostNameType.Unknown))
                {
                    urls.Add(url);
                    continue;
                }
            }
            catch (FormatException)
            {
            }

            AddError($"{key} must be URLs like http://localhost:8080, separated by ';'; '{part}' is not one.");
        }

        if (text.All(character => character is ';' || char.IsWhiteSpace(character)))
        {
            AddError($"{key} must hold at least one URL.");
        }

        return urls;
    }

    /// <summary>Adds an error for each key that no setting reads: it is a mistyped one.</summary>
    public void RefuseUnknown(string section, string except)
    {
        foreach (var (key, value) in configuration.GetSection(section).AsEnumerable())
        {
            if (value is not null && !defaults.ContainsKey(key) && !key.StartsWith(except + ":", StringComparison.OrdinalIgnoreCase))
            {
                AddError($"{key} is not a setting of this service.");
            }
        }
    }
}
