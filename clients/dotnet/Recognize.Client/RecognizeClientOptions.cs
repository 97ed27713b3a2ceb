namespace Recognize.Client;

/// <summary>What a client needs to know.</summary>
public sealed class RecognizeClientOptions
{
    /// <summary>Where the service is, such as <c>https://recognize.example.com</c>.</summary>
    public Uri? BaseAddress { get; set; }

    /// <summary>The key that is sent as <c>X-Api-Key</c>.</summary>
    public string? ApiKey { get; set; }

    /// <summary>How often a call that may be repeated is sent again at most. Default: 4.</summary>
    public int Retries { get; set; } = 4;
}
