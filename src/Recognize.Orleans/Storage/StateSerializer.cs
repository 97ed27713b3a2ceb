using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using Orleans.Storage;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Users;

namespace Recognize.Orleans.Storage;

/// <summary>
/// Stored state is JSON in pure ASCII that any engine's JSON functions can read.
/// </summary>
/// <remarks>
/// Versioning: members may be added at any time and are never renamed, retyped or reused; a member that this version does not
/// know is kept. A change that an older version would misread raises <see cref="Format"/>, and a silo refuses a row of
/// a higher format than its own; the schema script that comes with such a version marks older programs incompatible.
/// </remarks>
internal sealed class StateSerializer : IGrainStorageSerializer
{
    /// <summary>The value of the member <c>v</c> in every row that this version writes.</summary>
    public const int Format = 2;

    /// <summary>The same of a row that holds no operation any more: a version that knows no tombstones refuses it.</summary>
    public const int TombstoneFormat = 3;

    private static readonly StateJson Json = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        Converters =
        {
            new UtcMilliseconds(),
            new JsonStringEnumConverter<OperationStatus>(JsonNamingPolicy.CamelCase, allowIntegerValues: false),
            new JsonStringEnumConverter<AuthType>(JsonNamingPolicy.CamelCase, allowIntegerValues: false),
        },
    });

    public static byte[] ToBytes<T>(T state) => JsonSerializer.SerializeToUtf8Bytes(state, typeof(T), Json);

    public BinaryData Serialize<T>(T? input) => new(ToBytes(input));

    public T? Deserialize<T>(BinaryData input)
    {
        ArgumentNullException.ThrowIfNull(input);
        var row = JsonSerializer.Deserialize(input, typeof(T), Json);
        var (format, known) = row switch
        {
            OperationState operation => (operation.Format, TombstoneFormat),
            UserState user => (user.Format, Format),
            NumbersState numbers => (numbers.Format, Format),
            _ => throw new InvalidOperationException($"{typeof(T)} is not a stored state."),
        };

        return format <= known
            ? (T)row
            : throw new NotSupportedException($"The row has format {format}; this version reads up to {known}. Upgrade this silo.");
    }
}

/// <summary>Times in one length, so that they sort as text: <c>2025-05-21T10:30:00.000Z</c>.</summary>
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

    // A user's record holds many times and is written whole. The runtime formats this one far faster than any format of our own.
    private static void Format(DateTimeOffset value, Span<byte> bytes)
    {
        const int Round = 28;
        Span<byte> whole = stackalloc byte[Round];
        value.UtcDateTime.TryFormat(whole, out _, "O", CultureInfo.InvariantCulture);
        whole[..(Length - 1)].CopyTo(bytes);
        bytes[^1] = (byte)'Z';
    }
}

[JsonSerializable(typeof(OperationState))]
[JsonSerializable(typeof(UserState))]
[JsonSerializable(typeof(NumbersState))]
internal sealed partial class StateJson : JsonSerializerContext;
