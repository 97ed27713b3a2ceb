using CsCheck;
using Xunit;

namespace Recognize.Orleans.Api;

public sealed class RequestTargetTests
{
    [Theory]
    [InlineData("", "")]
    [InlineData("abc", "abc")]
    [InlineData("a%2Fb", "a/b")]
    [InlineData("a%252Fb", "a%2Fb")]
    [InlineData("%41", "A")]
    [InlineData("a+b", "a+b")]
    [InlineData("%C3%A9", "\u00E9")]
    [InlineData("%c3%a9", "\u00E9")]
    [InlineData("e%CC%81", "e\u0301")]
    [InlineData("%F0%9F%92%B8", "\U0001F4B8")]
    [InlineData("%00", "\0")]
    [InlineData("%2E%2e", "..")]
    [InlineData("%EF%BB%BFx", "\uFEFFx")]
    public void A_segment_is_decoded_once(string segment, string text)
    {
        Assert.True(RequestTarget.TryDecode(segment, out var decoded));
        Assert.Equal(text, decoded);
    }

    [Theory]
    [InlineData("%")]
    [InlineData("%4")]
    [InlineData("a%4")]
    [InlineData("%G1")]
    [InlineData("%+1")]
    [InlineData("%80")]
    [InlineData("%C3")]
    [InlineData("%C0%80")]
    [InlineData("%ED%A0%BD%ED%B8%80")]
    [InlineData("%F4%90%80%80")]
    [InlineData("\u00E9")]
    [InlineData("%41\u00E9")]
    [InlineData("\u0141%41")]
    public void A_segment_that_encodes_no_text_is_refused(string segment) => Assert.False(RequestTarget.TryDecode(segment, out _));

    [Fact]
    public void Whatever_is_encoded_is_decoded_to_the_character() =>
        Gen.String[Gen.Char['\0', '\uD7FF'], 0, 64].Sample(text => RequestTarget.TryDecode(Uri.EscapeDataString(text), out var decoded) && decoded == text);
}
