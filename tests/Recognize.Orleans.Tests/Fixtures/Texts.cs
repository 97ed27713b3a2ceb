using CsCheck;

namespace Recognize.Orleans.Fixtures;

/// <summary>Texts that storage and JSON like to damage: NUL, quotes, line separators, emoji, anything of the first plane.</summary>
internal static class Texts
{
    private static readonly Gen<string> Awkward = Gen.OneOf(
        "\0", "\u0001", "\"", "\\", "\\u0000", "/", "<script>", "&", "'", "\r\n", "\u2028", "\ufeff", "\uffff", " ", "é", "e\u0301", "ß", "İ", "\U0001F600", "\U0010FFFF", "{}", "null");

    /// <summary>Any valid Unicode text.</summary>
    public static readonly Gen<string> Any =
        Gen.OneOf(Awkward, Gen.String[Gen.Char['\0', '\ud7ff'], 0, 8]).Array[0, 6].Select(string.Concat);
}
