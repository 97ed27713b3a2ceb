using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Orleans.Storage;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.State;

/// <summary>Stored state is JSON in pure ASCII, which the JSON functions of any engine can read.</summary>
/// <remarks>
/// Versioning: members may be added at any time and are never renamed, retyped or reused. A member that this version
/// does not know is kept. A change that an older version would misread raises <see cref="Format"/>, and a silo refuses
/// a row of a higher format than its own. The schema script of such a version marks older programs as incompatible.
/// </remarks>
/// <param name="types">The types that are stored, of each feature.</param>
internal sealed class StateSerializer(params IEnumerable<IJsonTypeInfoResolver> types) : IGrainStorageSerializer
{
    /// <summary>The value of the member <c>v</c> in every row that this version writes.</summary>
    public const int Format = 4;

    private readonly JsonSerializerOptions options = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters = { new UtcMilliseconds(), new RowKeysArray() },
        TypeInfoResolver = JsonTypeInfoResolver.Combine([.. types]),
    };

    public BinaryData Serialize<T>(T? input) => new(JsonSerializer.SerializeToUtf8Bytes(input, options.GetTypeInfo(typeof(T))));

    public T? Deserialize<T>(BinaryData input)
    {
        ArgumentNullException.ThrowIfNull(input);
        return JsonSerializer.Deserialize(input, options.GetTypeInfo(typeof(T))) switch
        {
            IStoredState { Format: > Format and var format } => throw new NotSupportedException($"The row has format {format}; this version reads up to {Format}. Upgrade this silo."),
            T state => state,
            _ => throw new InvalidOperationException($"The row holds no {typeof(T).Name}."),
        };
    }
}

/// <summary>The stored state of a grain.</summary>
internal interface IStoredState
{
    /// <summary>The <see cref="StateSerializer.Format"/> of the program that wrote it.</summary>
    int Format { get; }
}

/// <summary>Index keys in the shortest form: owner, open, due.</summary>
internal sealed class RowKeysArray : JsonConverter<RowKeys>
{
    public override RowKeys Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options)
    {
        reader.Read();
        var owner = reader.GetString();
        reader.Read();

        // An open row often has one key twice.
        var open = reader.TokenType is JsonTokenType.String && reader.ValueTextEquals(owner) ? owner : reader.GetString();
        reader.Read();
        var due = reader.GetString();
        return reader.Read() && reader.TokenType is JsonTokenType.EndArray ? new(owner, open, due) : throw new JsonException();
    }

    public override void Write(Utf8JsonWriter writer, RowKeys value, JsonSerializerOptions options)
    {
        writer.WriteStartArray();
        writer.WriteStringValue(value.Owner);
        writer.WriteStringValue(value.Open);
        writer.WriteStringValue(value.Due);
        writer.WriteEndArray();
    }
}

/// <summary>The values of an enum by their names in camel case. A number is no name.</summary>
internal sealed class CamelCaseEnum<T>() : JsonStringEnumConverter<T>(JsonNamingPolicy.CamelCase, allowIntegerValues: false)
    where T : struct, Enum;

/// <summary>Times of one length, so that they sort as text: <c>2025-05-21T10:30:00.000Z</c>.</summary>
internal sealed class UtcMilliseconds : JsonConverter<DateTimeOffset>
{
    private const int Length = 24;

    public static string Text(DateTimeOffset value) => string.Create(Length, value, (text, time) =>
    {
        Span<byte> bytes = stackalloc byte[Length];
        Format(time, bytes);
        Encoding.ASCII.GetChars(bytes, text);
    });

    public override DateTimeOffset Read(ref Utf8JsonReader reader, Type typeToConvert, JsonSerializerOptions options) => reader.GetDateTimeOffset();

    public override void Write(Utf8JsonWriter writer, DateTimeOffset value, JsonSerializerOptions options)
    {
        Span<byte> bytes = stackalloc byte[Length];
        Format(value, bytes);
        writer.WriteStringValue(bytes);
    }

    // The runtime formats "O" far faster than a custom format. The extra digits are cut off.
    private static void Format(DateTimeOffset value, Span<byte> bytes)
    {
        const int Round = 28;
        Span<byte> whole = stackalloc byte[Round];
        value.UtcDateTime.TryFormat(whole, out _, "O", CultureInfo.InvariantCulture);
        whole[..(Length - 1)].CopyTo(bytes);
        bytes[^1] = (byte)'Z';
    }
}
