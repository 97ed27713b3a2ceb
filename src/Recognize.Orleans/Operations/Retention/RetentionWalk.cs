using System.Runtime.CompilerServices;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Operations.Retention;

/// <summary>
/// Walks through the operations and tombstones of all users, a page at a time, and yields what may be due. After each
/// page it rests nine times as long as the page took, so that a sweep never keeps the database busy.
/// </summary>
internal sealed class RetentionWalk(Func<RowRange, CancellationToken, Task<List<RangeRow>>> read, TimeProvider clock)
{
    /// <summary>How many keys of the index are read at once.</summary>
    public const int KeysPerPage = 500;

    /// <summary>How many rows are read, and grains called, at once. Few, because creates share a commit with removals.</summary>
    public const int Batch = 10;

    private const int RestFactor = 9;

    /// <summary>The owners of operations whose position in their history is before a given one, each of them once.</summary>
    public async IAsyncEnumerable<IReadOnlyList<UserKey>> OwnersAsync(string before, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var after = OperationState.Kind;
        List<RangeRow> rows;
        do
        {
            var begun = clock.GetTimestamp();
            rows = await read(new(new(RowIndex.Owner, RowPart.None), after, OperationState.Tombstones, KeysPerPage), cancellationToken);
            await RestAsync(begun, cancellationToken);
            yield return
            [
                .. rows.Select(row => OperationState.ParseKey(row.Key))
                    .OfType<(UserKey User, string Position)>()
                    .Where(key => string.CompareOrdinal(key.Position, before) < 0)
                    .Select(key => key.User)
                    .Distinct(),
            ];
            after = rows.Count > 0 ? BehindOwnerOf(rows[^1].Key) : after;
        }
        while (rows.Count == KeysPerPage);
    }

    /// <summary>The keys of the grains whose rows lie between two keys of the index, oldest first.</summary>
    public async IAsyncEnumerable<IReadOnlyList<string>> GrainsAsync(string after, string before, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        List<RangeRow> rows;
        do
        {
            // What is done with a page is part of the time that it takes.
            var begun = clock.GetTimestamp();
            rows = await read(new(new(RowIndex.Owner, RowPart.GrainKey), after, before, Batch), cancellationToken);
            yield return [.. rows.Select(row => row.GrainKey!)];
            await RestAsync(begun, cancellationToken);
            after = rows.Count > 0 ? rows[^1].Key : after;
        }
        while (rows.Count == Batch);
    }

    // The rest of an owner's history is newer and is skipped, however long it is.
    private static string BehindOwnerOf(string key) => OperationState.ParseKey(key) is var (user, _) ? OperationState.PrefixOf(user) + OperationHistory.End : key;

    private Task RestAsync(long begun, CancellationToken cancellationToken) => Task.Delay(RestFactor * clock.GetElapsedTime(begun), clock, cancellationToken);
}
