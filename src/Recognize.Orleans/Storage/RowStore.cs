using System.Diagnostics;
using System.Text;
using Orleans.Storage;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>
/// The row of OrleansStorage that holds a grain's state. Its columns and hashes are those of the stock ADO.NET
/// provider.
/// </summary>
internal readonly record struct RowKey
{
    private static readonly OrleansDefaultHasher Hasher = new();

    public RowKey(string stateName, GrainId grain)
    {
        // The stock provider would store such a key in other columns.
        if (grain.TryGetGuidKey(out _, out _) || grain.TryGetIntegerKey(out _, out _))
        {
            throw new NotSupportedException($"The key of {grain} reads as a number or a GUID; keys of this service are plain strings.");
        }

        Type = stateName;
        Key = grain.Key.ToString()!;
        TypeHash = Hasher.Hash(Encoding.UTF8.GetBytes(Type));

        // On little-endian machines the stock provider reverses the bytes of a key before it hashes them, but not those
        // of a type.
        var bytes = Encoding.UTF8.GetBytes(Key);
        if (BitConverter.IsLittleEndian)
        {
            Array.Reverse(bytes);
        }

        KeyHash = Hasher.Hash(bytes);
    }

    public string Type { get; }

    public int TypeHash { get; }

    public string Key { get; }

    public int KeyHash { get; }
}

/// <summary>
/// The index keys of a row: ASCII, at most 220 characters. Each begins with the kind of its row, and every range with
/// the kind that its reader knows. A write sets all of them; null clears one.
/// </summary>
/// <param name="Owner">Its place among all rows of its owner.</param>
/// <param name="Open">Its place among the open rows of its owner; null: it is not open.</param>
/// <param name="Due">Its place among the rows that are due at a time; null: nothing is due.</param>
[GenerateSerializer, Immutable, Alias("recognize.row-keys")]
internal readonly record struct RowKeys([property: Id(0)] string? Owner, [property: Id(1)] string? Open = null, [property: Id(2)] string? Due = null);

/// <summary>A state whose row is found by more than the key of its grain.</summary>
internal interface IIndexedState
{
    /// <summary>
    /// Stored in the JSON as <c>"keys":[owner,open,due]</c>, from which Orleans' own storage fills the columns.
    /// </summary>
    RowKeys Keys { get; }
}

/// <param name="Row">The row.</param>
/// <param name="Payload">The state; null deletes the row.</param>
/// <param name="Version">The version that the row must have; null: the row must not exist.</param>
/// <param name="Keys">The row's index keys from now on.</param>
internal readonly record struct RowWrite(RowKey Row, byte[]? Payload, int? Version, RowKeys Keys = default)
{
    /// <summary>The version that the row will have.</summary>
    public int Next => (Version ?? 0) + 1;
}

internal readonly record struct StoredRow(byte[]? Payload, int Version);

/// <summary>Consecutive rows of an index.</summary>
/// <param name="Kind">How they are read.</param>
/// <param name="After">The lower bound, exclusive.</param>
/// <param name="Before">The upper bound, exclusive.</param>
/// <param name="Count">The most rows to read.</param>
internal readonly record struct RowRange(RangeKind Kind, string After, string Before, int Count);

/// <summary>How a range is read. An engine has one statement for each.</summary>
/// <param name="Index">The index.</param>
/// <param name="Part">What is read beside the keys.</param>
/// <param name="Descending">Whether it is read backward, from the upper bound on.</param>
internal readonly record struct RangeKind(RowIndex Index, RowPart Part = RowPart.Payload, bool Descending = false)
{
    /// <summary>The column of the index.</summary>
    public string Column => $"{Index}Key";

    public string Order => Descending ? "DESC" : "ASC";
}

/// <summary>An index of rows by one of their <see cref="RowKeys"/>.</summary>
internal enum RowIndex
{
    Owner = 1,
    Open = 2,
    Due = 3,
}

internal enum RowPart
{
    /// <summary>Nothing: only the index is read.</summary>
    None = 1,

    GrainKey = 2,
    Payload = 3,
}

/// <param name="Key">The row's key in the index.</param>
/// <param name="GrainKey">The key of its grain, if it was asked for.</param>
/// <param name="Payload">The state, if it was asked for.</param>
internal readonly record struct RangeRow(string Key, string? GrainKey = null, byte[]? Payload = null);

/// <summary>The outcome of a write. The engines' statements contain the numbers.</summary>
internal enum WriteOutcome
{
    /// <summary>The row is durable.</summary>
    Written = 1,

    /// <summary>The row has another version, or it exists and must not. Nothing was written.</summary>
    Conflicts = 2,

    /// <summary>The statement reached the database after the time that it carries. Nothing was written.</summary>
    TooLate = 3,

    /// <summary>
    /// The silo is not, or is no longer, a member of the cluster that owns the service. Nothing was written.
    /// </summary>
    Fenced = 4,
}

/// <summary>One row to write.</summary>
/// <param name="write">The write.</param>
/// <param name="cancellationToken">Withdraws the item, as long as no group has begun with it.</param>
internal sealed class WriteItem(RowWrite write, CancellationToken cancellationToken)
{
    private readonly long enqueued = Stopwatch.GetTimestamp();

    public RowWrite Write { get; } = write;

    /// <summary>
    /// Whether it has waited so long that its caller has given up. No write may come later than others allow for
    /// (<see cref="Times.LongestWrite"/>).
    /// </summary>
    public bool IsTooOld => Stopwatch.GetElapsedTime(enqueued) > Times.LongestInQueue;

    public int Bytes { get; } = write.Payload?.Length ?? 0;

    /// <summary>The caller's span, which the group's is linked with.</summary>
    public Activity? Span { get; init; }

    public WriteOutcome Outcome { get; set; }

    public TaskCompletionSource<WriteOutcome> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public bool IsTakenBack() => cancellationToken.IsCancellationRequested && Done.TrySetCanceled(cancellationToken);
}

/// <summary>A read that shares a round trip with others of its kind.</summary>
internal sealed class ReadItem<TQuestion, TAnswer>(TQuestion question, Func<TAnswer> unanswered)
{
    public TQuestion Question { get; } = question;

    public TAnswer Answer { get; set; } = unanswered();

    /// <summary>The caller's span, which the group's is linked with.</summary>
    public Activity? Span { get; init; }

    public TaskCompletionSource<TAnswer> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Drops what was found, because the read is retried.</summary>
    public void Forget() => Answer = unanswered();
}

/// <summary>
/// The row store of one engine. It is used by one writer, one reader of rows and one reader of ranges at a time.
/// </summary>
internal interface IRowStore : IAsyncDisposable
{
    /// <summary>
    /// Writes a group in one transaction and sets the outcome of each item. No row is in a group twice.
    /// </summary>
    /// <param name="group">The items to write.</param>
    /// <param name="until">
    /// By the database's clock: the group is refused if it arrives later. SQLite ignores this, because no write can be
    /// late there.
    /// </param>
    /// <param name="cancellationToken">Ends the wait for the database.</param>
    /// <exception cref="GroupRefusedException">It is certain that nothing was written.</exception>
    /// <exception cref="UnavailableException">
    /// It is certain that nothing was written, and nothing can be written at the moment.
    /// </exception>
    /// <exception cref="Exception">It is unknown whether anything was written.</exception>
    Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken);

    /// <summary>Reads a group and sets each item's answer.</summary>
    /// <exception cref="GroupRefusedException">
    /// The database refused the read itself. Its items may be retried one by one.
    /// </exception>
    Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken);

    /// <summary>
    /// Reads a group and adds the rows that were found to each item's answer, in the order of its index.
    /// </summary>
    /// <exception cref="GroupRefusedException">
    /// The database refused the read itself. Its items may be retried one by one.
    /// </exception>
    Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken);
}

/// <summary>
/// The database refused a group before its commit. Nothing was written, and its items may be retried one by one.
/// </summary>
/// <param name="cause">What the database reported.</param>
/// <param name="overtaken">
/// Whether another writer came between the look at a row and its write. That writer has committed by now, so a retry of
/// the item gets its true outcome.
/// </param>
internal sealed class GroupRefusedException(Exception cause, bool overtaken = false) : Exception(cause.Message, cause)
{
    public bool IsOvertaken => overtaken;
}

/// <summary>There is no connection to send a group on, or the database refuses every other group as well.</summary>
/// <param name="cause">What the driver reported.</param>
internal sealed class UnavailableException(Exception cause) : Exception(cause.Message, cause);
