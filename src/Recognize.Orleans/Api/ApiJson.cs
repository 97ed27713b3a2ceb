using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Recognize.Orleans.Api;

/// <summary>
/// How bodies are written and read: names are camel case and case-sensitive, absent members are left out.
/// </summary>
internal static class ApiJson
{
    // The answers are only ever JSON, so characters that HTML would need escaped stay readable.
    public static JavaScriptEncoder Encoder => JavaScriptEncoder.UnsafeRelaxedJsonEscaping;

    /// <summary>New options for the JSON context of one feature, which owns them from then on.</summary>
    public static JsonSerializerOptions NewOptions() => new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Encoder = Encoder,
    };
}
