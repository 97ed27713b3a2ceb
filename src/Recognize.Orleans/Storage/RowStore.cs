using System.Diagnostics;
using System.Text;
using Orleans.Storage;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>Which row of OrleansStorage holds a grain's state. The same columns and hashes as the stock ADO.NET provider writes.</summary>
internal readonly record struct RowKey
{
    private static readonly OrleansDefaultHasher Hasher = new();

    public RowKey(string stateName, GrainId grain)
    {
        // The stock provider would spread such a key over other columns.
        if (grain.TryGetGuidKey(out _, out _) || grain.TryGetIntegerKey(out _, out _))
        {
            throw new NotSupportedException($"The key of {grain} reads as a number or a GUID; keys of this service are plain strings.");
        }

        Type = stateName;
        Key = grain.Key.ToString()!;
        TypeHash = Hasher.Hash(Encoding.UTF8.GetBytes(Type));

        // The stock provider hashes the bytes of a key, but not those of a type, back to front on little-endian machines.
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

/// <summary>What else a row is found by.</summary>
/// <param name="History">Where it stands in a history from now on; null: where it stood, a new row in none.</param>
/// <param name="Pending">Where it stands among what is pending; null: it is not.</param>
internal readonly record struct RowKeys(string? History, string? Pending);

/// <summary>A state whose row is found by more than its grain.</summary>
internal interface IIndexedState
{
    /// <param name="grainKey">The key of the state's grain.</param>
    /// <param name="isFirst">Whether this is the row's first write.</param>
    RowKeys KeysOf(string grainKey, bool isFirst);
}

/// <param name="Row">Which row.</param>
/// <param name="Payload">The state; null deletes the row.</param>
/// <param name="Version">The version that the row must have; null: there must be no row.</param>
/// <param name="Keys">What else the row is found by from now on.</param>
internal readonly record struct RowWrite(RowKey Row, byte[]? Payload, int? Version, RowKeys Keys = default)
{
    /// <summary>The version that the row will have.</summary>
    public int Next => (Version ?? 0) + 1;
}

internal readonly record struct StoredRow(byte[]? Payload, int Version);

/// <summary>Rows that stand one after the other in an index, in its order or against it.</summary>
/// <param name="Index">Which index.</param>
/// <param name="After">The place before the first.</param>
/// <param name="Before">The place behind the last.</param>
/// <param name="Count">How many at most.</param>
internal readonly record struct RowRange(RowIndex Index, string After, string Before, int Count);

internal enum RowIndex
{
    /// <summary>By PendingKey, ascending.</summary>
    Pending = 1,

    /// <summary>By HistoryKey, descending.</summary>
    History = 2,

    /// <summary>By PendingKey, ascending, without what is stored: the index alone is read.</summary>
    PendingKeys = 3,
}

/// <param name="Key">The key by which the index has it.</param>
/// <param name="Payload">The state; null where only keys were asked for.</param>
internal readonly record struct RangeRow(string Key, byte[]? Payload);

/// <summary>What became of a write. The statements of the engines know the numbers.</summary>
internal enum WriteOutcome
{
    /// <summary>The row is durable.</summary>
    Written = 1,

    /// <summary>The row has another version, or exists. Nothing was written.</summary>
    Conflicts = 2,

    /// <summary>The statement came to the database after the time that it carries. Nothing was written.</summary>
    TooLate = 3,

    /// <summary>The silo is not, or no more, one of the cluster that has the database. Nothing was written.</summary>
    Fenced = 4,
}

/// <summary>One row that is to be written.</summary>
/// <param name="write">What.</param>
/// <param name="cancellationToken">Takes the item back as long as no group has begun with it.</param>
internal sealed class WriteItem(RowWrite write, CancellationToken cancellationToken)
{
    private readonly long enqueued = Stopwatch.GetTimestamp();

    public RowWrite Write { get; } = write;

    /// <summary>Whether it has waited so long that its caller has given up: a write must not come later than others reckon with (<see cref="Times.LongestWrite"/>).</summary>
    public bool IsTooOld => Stopwatch.GetElapsedTime(enqueued) > Times.LongestInQueue;

    public int Bytes { get; } = write.Payload?.Length ?? 0;

    public WriteOutcome Outcome { get; set; }

    public TaskCompletionSource<WriteOutcome> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public bool IsTakenBack() => cancellationToken.IsCancellationRequested && Done.TrySetCanceled(cancellationToken);
}

/// <summary>A question to the database that shares a round trip with others of its kind.</summary>
internal sealed class ReadItem<TQuestion, TAnswer>(TQuestion question, Func<TAnswer> unanswered)
{
    public TQuestion Question { get; } = question;

    public TAnswer Answer { get; set; } = unanswered();

    public TaskCompletionSource<TAnswer> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Drops what was found, because the question is asked again.</summary>
    public void Forget() => Answer = unanswered();
}

/// <summary>The rows of one engine. Used by one writer, one reader of rows and one reader of ranges at a time.</summary>
internal interface IRowStore : IAsyncDisposable
{
    /// <summary>Writes a group in one transaction and sets the fate of each item. No row is in a group twice.</summary>
    /// <param name="group">What to write.</param>
    /// <param name="until">By the database's clock: the group is refused when it arrives later than that. Not on SQLite, to which nothing arrives late.</param>
    /// <param name="cancellationToken">Ends the wait for the database.</param>
    /// <exception cref="GroupRefusedException">Nothing was written, for certain.</exception>
    /// <exception cref="UnavailableException">Nothing was written, for certain, and nothing can be at the moment.</exception>
    /// <exception cref="Exception">It is unknown whether anything was written.</exception>
    Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken);

    /// <summary>Reads a group and sets what was found of each item.</summary>
    /// <exception cref="GroupRefusedException">The database refused the question itself; its items may be asked one by one.</exception>
    Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken);

    /// <summary>Reads a group and adds what was found to each item's answer, in the order of its index.</summary>
    /// <exception cref="GroupRefusedException">The database refused the question itself; its items may be asked one by one.</exception>
    Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken);
}

/// <summary>The database refused a group before its commit: nothing of it was written, and its items may be tried one by one.</summary>
/// <param name="cause">What the database said.</param>
/// <param name="overtaken">
/// Whether another writer came between the look at a row and its write. That writer has committed by now: the same item tried again
/// is told its true fate.
/// </param>
internal sealed class GroupRefusedException(Exception cause, bool overtaken = false) : Exception(cause.Message, cause)
{
    public bool IsOvertaken => overtaken;
}

/// <summary>There is no connection on which a group could be sent, or the database refuses every other one as well.</summary>
/// <param name="cause">What the driver said.</param>
internal sealed class UnavailableException(Exception cause) : Exception(cause.Message, cause);
