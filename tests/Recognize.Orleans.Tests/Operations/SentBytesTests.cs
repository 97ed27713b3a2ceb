using CsCheck;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations.Pending;
using Xunit;

namespace Recognize.Orleans.Operations;

// What a user's limit counts is what is sent.
public sealed class SentBytesTests
{
    private static readonly DateTimeOffset Now = new(2025, 5, 21, 10, 30, 0, TimeSpan.Zero);

    private static readonly Gen<Operation> Operations =
        from operationId in Texts.Any
        from payload in Gen.OneOf(Gen.Const((string?)null), Texts.Any)
        from externalUserId in Gen.OneOf(Gen.Const((string?)null), Texts.Any)
        from authType in Gen.OneOf<AuthType?>(null, AuthType.Biom, AuthType.Pin)
        from expiresAt in Gen.OneOf<DateTimeOffset?>(null, Now)
        select new Operation
        {
            Id = 8819,
            CreatedAt = Now,
            NodeId = "node-1",
            UserId = "A1B2C3D4E5F6",
            OperationId = operationId,
            Payload = payload,
            ExternalUserId = externalUserId,
            AuthType = authType,
            ExpiresAt = expiresAt,
            Status = OperationStatus.Pending,
        };

    [Fact]
    public void A_list_has_as_many_bytes_as_are_counted_to_the_byte() =>
        Operations.Array[1, 5].Sample(operations =>
            Assert.Equal(SentBytes.OfBrackets + operations.Sum(SentBytes.Of) - ",".Length, new RenderedList(1, [.. operations], room: null, holders: 1).Body.Length));

    [Fact]
    public void A_create_counts_what_its_operation_will() =>
        Operations.Sample(operation =>
            SentBytes.Of(
                new CreateOperation { OperationId = operation.OperationId, Payload = operation.Payload, ExternalUserId = operation.ExternalUserId, AuthType = operation.AuthType, Attempt = "1" },
                hasDeadline: operation.ExpiresAt is not null) == SentBytes.Of(operation));

    [Fact]
    public void Every_character_counts_as_it_is_sent_and_none_more_than_six_bytes() =>
        Assert.All(Enumerable.Range(0, char.MaxValue + 1).Select(code => (char)code).Where(code => !char.IsSurrogate(code)), code => Assert.InRange(SentBytes.Of($"{code}"), 1, 6));

    [Theory]
    [InlineData("a", 1)]
    [InlineData("é", 2)]
    [InlineData("€", 3)]
    [InlineData("\"", 2)]
    [InlineData("\n", 2)]
    [InlineData("\u0001", 6)]
    [InlineData("\U0001F600", 12)]
    public void A_character_has_the_bytes_that_the_documents_say(string character, int bytes) => Assert.Equal(bytes, SentBytes.Of(character));

    [Fact]
    public void The_least_limit_holds_one_operation_of_full_length_whatever_its_characters()
    {
        var operation = Operations.Single() with
        {
            OperationId = new('\uE000', OperationLimits.OperationId),
            Payload = new('\0', OperationLimits.Payload),
            ExternalUserId = new('\uE000', OperationLimits.ExternalUserId),
            AuthType = AuthType.Biom,
            ExpiresAt = Now,
        };

        Assert.InRange(SentBytes.OfBrackets + SentBytes.Of(operation), 101_376, OperationSettings.LeastPendingBytes);
    }
}
