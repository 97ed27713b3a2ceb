using System.Text;
using System.Text.Json;
using CsCheck;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.State;

public sealed class StateSerializerTests
{
    // Rows as format 4 wrote them, the first that was released. They must load for ever: add texts, never change one.
    private const string OldestOperation =
        """{"v":4,"keys":["op/acme/A1B2C3D4E5F6/2025-05-21T10:30:00.000Z/0000000000008819","op/acme/A1B2C3D4E5F6/2025-05-21T10:30:00.000Z/0000000000008819",null],"id":8819,"createdAt":"2025-05-21T10:30:00.000Z","nodeId":"node-1","userId":"A1B2C3D4E5F6","operationId":"txn-1","attempt":"attempt-1","status":"pending"}""";

    private const string DecidedOperation =
        """{"v":4,"keys":["op/acme/A1B2C3D4E5F6/2025-05-21T10:30:00.123Z/0000000000008820",null,null],"id":8820,"createdAt":"2025-05-21T10:30:00.123Z","nodeId":"node-1","userId":"A1B2C3D4E5F6","operationId":"\u00E9/\uD83D\uDE00","externalUserId":"alice","payload":"pay \u0022five\u0022","authType":"biom","attempt":"attempt-1","idempotencyKey":"key-1","status":"approved","decidedAt":"2025-05-21T10:31:00.000Z","decidedWith":"biom"}""";

    private const string OperationWithNul =
        """{"v":4,"keys":["op/acme/FF/2025-05-21T10:30:00.000Z/0000000000008821",null,null],"id":8821,"createdAt":"2025-05-21T10:30:00.000Z","nodeId":"node-1","userId":"FF","operationId":"txn-3","payloadBase64":"YQBi","authType":"pin","attempt":"attempt-1","status":"denied","decidedAt":"2025-05-21T10:31:00.000Z","decidedWith":"pin"}""";

    private const string Tombstone = """{"v":4,"keys":["op/~/2025-06-20T10:30:00.000Z/0000000000008819",null,null],"id":8819,"removedAt":"2025-06-20T10:30:00.000Z"}""";

    private const string ExpiredOperation =
        """{"v":4,"keys":["op/acme/FF/2025-05-21T10:30:00.000Z/0000000000008822",null,null],"id":8822,"createdAt":"2025-05-21T10:30:00.000Z","nodeId":"node-1","userId":"FF","operationId":"txn-4","attempt":"attempt-1","expiresIn":30,"expiresAt":"2025-05-21T10:30:30.000Z","status":"expired","decidedAt":"2025-05-21T10:30:30.000Z"}""";

    private const string OldNumbers = """{"v":4,"next":5001}""";

    private static readonly StateSerializer Serializer = new(StateJson.Default);

    [Fact]
    public void The_smallest_operation_that_was_ever_written_loads()
    {
        var state = Read<OperationState>(OldestOperation);

        Assert.Equal(
            new Operation
            {
                Id = 8819,
                CreatedAt = new(2025, 5, 21, 10, 30, 0, TimeSpan.Zero),
                NodeId = "node-1",
                UserId = "A1B2C3D4E5F6",
                OperationId = "txn-1",
                Status = OperationStatus.Pending,
            },
            state.ToOperation());
        Assert.Equal(("attempt-1", null), (state.Attempt, state.IdempotencyKey));
    }

    [Fact]
    public void A_decided_operation_with_every_member_loads()
    {
        var state = Read<OperationState>(DecidedOperation);

        Assert.Equal(
            new Operation
            {
                Id = 8820,
                CreatedAt = new(2025, 5, 21, 10, 30, 0, 123, TimeSpan.Zero),
                NodeId = "node-1",
                UserId = "A1B2C3D4E5F6",
                OperationId = "é/\U0001F600",
                ExternalUserId = "alice",
                Payload = "pay \"five\"",
                AuthType = AuthType.Biom,
                Status = OperationStatus.Approved,
                DecidedAt = new(2025, 5, 21, 10, 31, 0, TimeSpan.Zero),
            },
            state.ToOperation());
        Assert.Equal(("attempt-1", "key-1"), (state.Attempt, state.IdempotencyKey));
    }

    [Fact]
    public void An_operation_with_NUL_in_its_payload_loads()
    {
        var operation = Read<OperationState>(OperationWithNul).ToOperation();

        Assert.Equal(("a\0b", OperationStatus.Denied, AuthType.Pin), (operation.Payload, operation.Status, operation.AuthType));
    }

    [Fact]
    public void An_operation_that_has_expired_loads()
    {
        var operation = Read<OperationState>(ExpiredOperation).ToOperation();

        Assert.Equal((OperationStatus.Expired, operation.CreatedAt.AddSeconds(30), operation.ExpiresAt), (operation.Status, operation.DecidedAt, operation.DecidedAt));
    }

    [Fact]
    public void The_counter_loads() => Assert.Equal(5001, Read<NumbersState>(OldNumbers).Next);

    [Fact]
    public void Times_are_written_in_UTC_cut_to_the_millisecond_in_one_length() =>
        Gen.Select(Gen.DateTime, Gen.Int[-14, 14]).Sample((time, hours) =>
        {
            var value = new DateTimeOffset(DateTime.SpecifyKind(time, DateTimeKind.Unspecified), TimeSpan.Zero).ToOffset(TimeSpan.FromHours(time.Year is > 1 and < 9999 ? hours : 0));

            Assert.Equal(value.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", System.Globalization.CultureInfo.InvariantCulture), UtcMilliseconds.Text(value));
        });

    [Theory]
    [InlineData(typeof(OperationState), OldestOperation)]
    [InlineData(typeof(OperationState), DecidedOperation)]
    [InlineData(typeof(OperationState), OperationWithNul)]
    [InlineData(typeof(OperationState), ExpiredOperation)]
    [InlineData(typeof(OperationState), Tombstone)]
    [InlineData(typeof(NumbersState), OldNumbers)]
    public void This_version_writes_what_it_read_to_the_byte(Type state, string json) =>
        Assert.Equal(json, Rewritten(state, json));

    [Theory]
    [InlineData(typeof(OperationState), """{"v":4,"keys":["op/acme/FF/1","op/acme/FF/1",null],"id":1,"createdAt":"2025-05-21T10:30:00.000Z","nodeId":"","userId":"FF","operationId":"a","attempt":"","status":"pending","color":"\u00E9","shape":{"corners":[1,2.50,null]}}""")]
    [InlineData(typeof(NumbersState), """{"v":4,"next":5,"color":"red"}""")]
    public void Members_that_a_newer_version_wrote_are_written_back(Type state, string json) =>
        Assert.Equal(json, Rewritten(state, json));

    [Fact]
    public void Members_that_a_newer_version_wrote_outlive_a_decision()
    {
        var state = Read<OperationState>(OldestOperation.Replace("\"pending\"}", "\"pending\",\"color\":\"red\"}", StringComparison.Ordinal));

        var (_, decided) = state.Decide(new() { UserId = "A1B2C3D4E5F6", Verdict = Verdict.Deny, AuthType = AuthType.Pin }, state.CreatedAt);

        Assert.Equal("red", Written(decided).RootElement.GetProperty("color").GetString());
    }

    [Fact]
    public void Members_may_come_in_any_order()
    {
        var state = Read<OperationState>("""{"status":"approved","decidedWith":"pin","operationId":"a","userId":"FF","id":3,"v":1}""");

        Assert.Equal((3, "a", "FF", OperationStatus.Approved, AuthType.Pin), (state.Id, state.OperationId, state.UserId, state.Status, state.DecidedWith));
        Assert.Equal(9, Read<NumbersState>("""{"next":9,"v":1}""").Next);
    }

    [Theory]
    [InlineData(typeof(OperationState), 5)]
    [InlineData(typeof(NumbersState), 5)]
    public void A_row_of_a_higher_format_is_refused_in_words(Type state, int format)
    {
        var refusal = Assert.Throws<NotSupportedException>(() => Rewritten(state, $$"""{"v":{{format}}}"""));

        Assert.Contains("Upgrade this silo", refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"v":1,"status":1}""")]
    [InlineData("""{"v":1,"status":"lost"}""")]
    [InlineData("null")]
    [InlineData("")]
    public void A_row_that_this_version_would_misread_is_refused(string json) =>
        Assert.ThrowsAny<Exception>(() => Read<OperationState>(json));

    [Fact]
    public void What_is_stored_is_ASCII_without_NUL_and_reads_back_equal() =>
        Gen.Select(Texts.Any, Texts.Any, Texts.Any).Sample((operationId, externalUserId, payload) =>
        {
            // Ids hold no control characters: nothing that holds one is accepted.
            var request = new CreateOperation { OperationId = WithoutControls(operationId), ExternalUserId = WithoutControls(externalUserId), Payload = payload, Attempt = "attempt-1" };
            var state = OperationState.Create(new("acme", "FF"), request, 1, "node-1", DateTimeOffset.UnixEpoch);

            var stored = Serializer.Serialize(state).ToArray();

            Assert.True(Ascii.IsValid(stored));
            Assert.DoesNotContain("\\u0000", Encoding.ASCII.GetString(stored).Replace("\\\\", "", StringComparison.Ordinal), StringComparison.Ordinal);
            Assert.Equal(state.ToOperation(), Serializer.Deserialize<OperationState>(new(stored))!.ToOperation());
        });

    private static string WithoutControls(string text) => string.Concat(text.Where(character => !char.IsControl(character)));

    private static T Read<T>(string json) => Serializer.Deserialize<T>(BinaryData.FromString(json))!;

    private static JsonDocument Written<T>(T state) => JsonDocument.Parse(Serializer.Serialize(state));

    private static string Rewritten(Type state, string json) => state switch
    {
        _ when state == typeof(OperationState) => Serializer.Serialize(Read<OperationState>(json)).ToString(),
        _ => Serializer.Serialize(Read<NumbersState>(json)).ToString(),
    };
}
