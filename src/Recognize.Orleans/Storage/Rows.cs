using System.Text;
using Orleans.Storage;

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

/// <param name="Row">Which row.</param>
/// <param name="Payload">The state; null deletes the row.</param>
/// <param name="Version">The version that the row must have; null: there must be no row.</param>
/// <param name="HistoryKey">Where the row stands in a history from now on; null: where it stood, a new one in none.</param>
/// <param name="First">The version that a new row begins with.</param>
internal readonly record struct RowWrite(RowKey Row, byte[]? Payload, int? Version, string? HistoryKey = null, int First = 1)
{
    /// <summary>The version that the row will have.</summary>
    public int Next => (Version + 1) ?? First;
}

internal readonly record struct StoredRow(byte[]? Payload, int Version);

/// <summary>What became of a write of its own. The statements of the engines know the numbers.</summary>
internal enum WriteFate
{
    /// <summary>The row, or both rows, are durable.</summary>
    Written = 1,

    /// <summary>The first row has another version, or exists. Nothing was written.</summary>
    FirstConflicts = 2,

    /// <summary>The second row has another version, or exists. Nothing was written.</summary>
    SecondConflicts = 3,
}

/// <summary>One or two rows that are written together or not at all.</summary>
/// <param name="first">What is looked at first.</param>
/// <param name="second">What is written with it.</param>
/// <param name="cancellationToken">Takes the item back as long as no group has begun with it.</param>
internal sealed class WriteItem(RowWrite first, RowWrite? second, CancellationToken cancellationToken)
{
    public RowWrite First { get; } = first;

    public RowWrite? Second { get; } = second;

    public int Bytes { get; } = (first.Payload?.Length ?? 0) + (second?.Payload?.Length ?? 0);

    public WriteFate Fate { get; set; }

    public TaskCompletionSource<WriteFate> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Adds this item's rows to those that a group writes; false when the group writes one of them already.</summary>
    public bool TryJoin(HashSet<RowKey> rows) =>
        !rows.Contains(First.Row) && (Second is not { } second || rows.Add(second.Row)) && rows.Add(First.Row);

    public bool IsTakenBack() => cancellationToken.IsCancellationRequested && Done.TrySetCanceled(cancellationToken);
}

internal sealed class ReadItem(RowKey row)
{
    public RowKey Row { get; } = row;

    public StoredRow? Found { get; set; }

    public TaskCompletionSource<StoredRow?> Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>The rows of one engine. Used by one writer and one reader at a time.</summary>
internal interface IRows : IAsyncDisposable
{
    /// <summary>Writes a group in one transaction and sets the fate of each item. No row is in a group twice.</summary>
    /// <exception cref="GroupRefusedException">Nothing was written, for certain.</exception>
    /// <exception cref="Exception">It is unknown whether anything was written.</exception>
    Task WriteAsync(IReadOnlyList<WriteItem> group, CancellationToken cancellationToken);

    /// <summary>Reads a group and sets what was found of each item.</summary>
    Task ReadAsync(IReadOnlyList<ReadItem> group, CancellationToken cancellationToken);
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
