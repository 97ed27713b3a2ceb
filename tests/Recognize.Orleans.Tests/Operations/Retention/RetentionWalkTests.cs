using CsCheck;
using Microsoft.Extensions.Time.Testing;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Operations.Retention;

/// <summary>The walk finds whatever may be due, each once, in pages, and rests after each of them.</summary>
public sealed class RetentionWalkTests
{
    private const string Before = "5~";

    private readonly FakeTimeProvider clock = new();

    [Fact]
    public Task Every_owner_of_an_operation_from_before_is_found_once_and_nobody_else() => Histories.SampleAsync(async history =>
    {
        var index = new Index(history);

        var found = await Walk(index).OwnersAsync(Before, CancellationToken.None).SelectMany(page => page.ToAsyncEnumerable()).ToListAsync();

        Assert.Equal(history.Where(row => string.CompareOrdinal(row.Position, Before) < 0).Select(row => new UserKey(row.Customer, row.User)).ToHashSet(), found.ToHashSet());
        Assert.Equal(found.Distinct(), found);
    });

    [Fact]
    public Task The_rows_of_an_owner_from_before_are_found_in_their_order_in_small_pages() => Histories.SampleAsync(async history =>
    {
        var owner = OperationState.PrefixOf(new("acme", "A1"));

        var pages = await Walk(new Index(history)).GrainsAsync(owner, owner + Before, CancellationToken.None).ToListAsync();

        Assert.All(pages, page => Assert.InRange(page.Count, 0, RetentionWalk.Batch));
        Assert.Equal(
            history.Where(row => row is { Customer: "acme", User: "A1" } && string.CompareOrdinal(row.Position, Before) < 0).Select(row => $"grain/{owner}{row.Position}").Order(StringComparer.Ordinal),
            pages.SelectMany(page => page));
    });

    [Fact]
    public async Task A_long_history_is_skipped_once_its_owner_is_known()
    {
        var index = new Index([.. Enumerable.Range(0, 3_000).Select(number => ("acme", "A1", $"1/{number:D4}")), ("acme", "B2", "1/9999")]);

        var found = await Walk(index).OwnersAsync(Before, CancellationToken.None).ToListAsync();

        Assert.Equal([new("acme", "A1"), new("acme", "B2")], found.SelectMany(page => page));
        Assert.Equal(2, index.Reads);
    }

    [Fact]
    public async Task A_key_that_is_none_belongs_to_nobody_and_ends_no_walk()
    {
        var walk = new RetentionWalk(
            (range, _) => Task.FromResult<List<RangeRow>>(range.After == "op/" ? [.. Enumerable.Repeat(new RangeRow("op/no key"), range.Count)] : [new("op/acme/A1/1")]),
            clock);

        var found = await walk.OwnersAsync(Before, CancellationToken.None).ToListAsync();

        Assert.Equal([[], [new UserKey("acme", "A1")]], found);
    }

    [Fact]
    public async Task After_a_page_comes_a_rest_of_nine_times_what_it_took_with_what_was_done_with_it()
    {
        var index = new Index([.. Enumerable.Range(0, 15).Select(number => ("acme", "A1", $"1/{number:D4}"))]);
        var owner = OperationState.PrefixOf(new("acme", "A1"));
        await using var pages = Walk(index).GrainsAsync(owner, owner + Before, CancellationToken.None).GetAsyncEnumerator();
        await pages.MoveNextAsync();

        clock.Advance(TimeSpan.FromSeconds(2));
        var next = pages.MoveNextAsync().AsTask();

        clock.Advance(TimeSpan.FromSeconds(17.9));
        Assert.Equal((false, 1), (next.IsCompleted, index.Reads));
        clock.Advance(TimeSpan.FromSeconds(0.1));
        Assert.True(await next);
        Assert.Equal(5, pages.Current.Count);
    }

    // Positions sort as text, as times do.
    private static Gen<(string Customer, string User, string Position)[]> Histories { get; } =
        Gen.Select(Gen.OneOf("acme", "acme2", "b"), Gen.OneOf("A", "A1", "A12", "B2"), Gen.Select(Gen.Int[1, 9], Gen.Int[0, 999], (time, number) => $"{time}/{number:D4}"))
            .Array[0, 1_200]
            .Select(rows => rows.Distinct().ToArray());

    private RetentionWalk Walk(Index index) => new(index.ReadAsync, clock);

    private sealed class Index((string Customer, string User, string Position)[] history)
    {
        private readonly List<string> keys = [.. history.Select(row => OperationState.PrefixOf(new(row.Customer, row.User)) + row.Position).Concat(["no/acme/A1/1", "op/~/1", "oq/acme/A1/1"]).Order(StringComparer.Ordinal)];

        public int Reads { get; private set; }

        public Task<List<RangeRow>> ReadAsync(RowRange range, CancellationToken cancellationToken)
        {
            Reads++;
            return Task.FromResult<List<RangeRow>>(
            [
                .. keys.Where(key => string.CompareOrdinal(key, range.After) > 0 && string.CompareOrdinal(key, range.Before) < 0)
                    .Take(range.Count)
                    .Select(key => new RangeRow(key, range.Kind.Part is RowPart.GrainKey ? $"grain/{key}" : null)),
            ]);
        }
    }
}
