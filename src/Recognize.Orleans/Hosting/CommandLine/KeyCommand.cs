using System.Buffers.Text;
using System.Security.Cryptography;
using System.Text.Json;
using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Hosting.CommandLine;

/// <summary>The command <c>new-key</c>.</summary>
internal static class KeyCommand
{
    // 256 bits: the key is as hard to guess as its hash is to invert.
    private const int KeyBytes = 32;

    public static Task<int> RunAsync(string[] scopes)
    {
        var key = Base64Url.EncodeToString(RandomNumberGenerator.GetBytes(KeyBytes));
        var names = string.Join(", ", scopes.Distinct().Select(scope => JsonSerializer.Serialize(scope)));
        Console.WriteLine(
            $$"""
            The key, for the client; it is stored nowhere and not shown again:

            {{key}}

            The settings that let it in, one more entry of Recognize:Customers:<name>:Keys:

            { "Sha256": "{{CustomerDirectory.HashOf(key)}}", "Scopes": [{{names}}] }
            """);
        return Task.FromResult(Commands.Done);
    }
}
