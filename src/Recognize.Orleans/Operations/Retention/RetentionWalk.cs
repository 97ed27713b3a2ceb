using System.Runtime.CompilerServices;

namespace Recognize.Orleans.Operations.Retention;

/// <summary>
/// Walks through the index of histories, a page at a time, and yields what may be due. After each page it rests nine
/// times as long as the page took, so that a sweep never keeps the database busy.
/// </summary>
internal sealed class RetentionWalk(RetentionWalk.ReadKeys readKeys, RetentionWalk.ReadRows readRows, TimeProvider clock)
{
    /// <summary>How many keys of the index are read at once.</summary>
    public const int KeysPerPage = 500;

    /// <summary>How many rows are read, and grains called, at once. Few, because creates share a commit with removals.</summary>
    public const int Batch = 10;

    private const int RestFactor = 9;

    /// <summary>The next keys after one, in the order of the index: customer, user, time.</summary>
    public delegate Task<IReadOnlyList<string>> ReadKeys(string after, int count, CancellationToken cancellationToken);

    /// <summary>The first rows between two keys, in the order of the index, and the keys of their grains.</summary>
    public delegate Task<IReadOnlyList<(string Position, string GrainKey)>> ReadRows(string after, string before, int count, CancellationToken cancellationToken);

    /// <summary>The owners of operations whose position in their history is before a given one, each of them once.</summary>
    public async IAsyncEnumerable<IReadOnlyList<UserKey>> OwnersAsync(string before, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var after = "";
        IReadOnlyList<string> keys;
        do
        {
            var begun = clock.GetTimestamp();
            keys = await readKeys(after, KeysPerPage, cancellationToken);
            await RestAsync(begun, cancellationToken);
            yield return
            [
                .. keys.Select(OperationState.ParseHistoryKey)
                    .OfType<(UserKey User, string Position)>()
                    .Where(key => string.CompareOrdinal(key.Position, before) < 0)
                    .Select(key => key.User)
                    .Distinct(),
            ];
            after = keys.Count > 0 ? BehindOwnerOf(keys[^1]) : after;
        }
        while (keys.Count == KeysPerPage);
    }

    /// <summary>The keys of the grains whose rows lie between two keys of the index, oldest first.</summary>
    public async IAsyncEnumerable<IReadOnlyList<string>> GrainsAsync(string after, string before, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        IReadOnlyList<(string Position, string GrainKey)> rows;
        do
        {
            // What is done with a page is part of the time that it takes.
            var begun = clock.GetTimestamp();
            rows = await readRows(after, before, Batch, cancellationToken);
            yield return [.. rows.Select(row => row.GrainKey)];
            await RestAsync(begun, cancellationToken);
            after = rows.Count > 0 ? rows[^1].Position : after;
        }
        while (rows.Count == Batch);
    }

    // The rest of an owner's history is newer and is skipped, however long it is.
    private static string BehindOwnerOf(string historyKey) => OperationState.ParseHistoryKey(historyKey) is var (user, _)
        ? OperationState.HistoryOf(user) + OperationHistory.End
        : historyKey;

    private Task RestAsync(long begun, CancellationToken cancellationToken) => Task.Delay(RestFactor * clock.GetElapsedTime(begun), clock, cancellationToken);
}
