using System.Collections.Immutable;
using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// A user's operations that are known to be pending. What counts against the limits is always known of them; the
/// operations themselves are cached or not.
/// </summary>
internal sealed class PendingList
{
    private const int MostShort = 25;
    private const int MostShortBytes = 16_384;

    private readonly Dictionary<string, Row> rows = new(StringComparer.Ordinal);
    private PendingSnapshot? snapshot;

    public int Count => rows.Count;

    /// <summary>The bytes of the list as it is sent.</summary>
    public int Bytes { get; private set; } = SentBytes.OfBrackets;

    /// <summary>Whether the operations are cached.</summary>
    public bool IsCached { get; private set; }

    /// <summary>When the read of the cached operations began, as a timestamp of the clock.</summary>
    public long ReadAt { get; private set; }

    /// <summary>Whether the list takes so much memory that it is cached only for a short time.</summary>
    public bool IsLong => Count > MostShort || Bytes > MostShortBytes;

    public bool Has(string id) => rows.ContainsKey(id);

    /// <summary>Whether all operations with these numbers are known, and none is overdue.</summary>
    public bool HasAll(IReadOnlyList<long> numbers, DateTimeOffset now)
    {
        var known = rows.Values.Where(row => !row.IsOverdue(now)).Select(row => row.Number).ToHashSet();
        return numbers.All(known.Contains);
    }

    /// <summary>The operations in the order of creation; only while they are cached.</summary>
    public PendingSnapshot Snapshot()
    {
        if (snapshot is null)
        {
            ImmutableArray<Operation> operations = [.. rows.Values.Select(row => row.Operation!).OrderBy(operation => operation.CreatedAt).ThenBy(operation => operation.Id)];
            snapshot = new() { Version = VersionOf(operations), Operations = operations };
        }

        return snapshot;
    }

    /// <summary>Replaces all operations by those that were read.</summary>
    public void Replace(IEnumerable<Operation> operations, long readAt)
    {
        RemoveAll(_ => true);
        (IsCached, ReadAt, snapshot) = (true, readAt, null);
        foreach (var operation in operations)
        {
            Add(operation);
        }
    }

    public void Add(Operation operation)
    {
        Remove(operation.OperationId);
        var row = new Row(operation.Id, SentBytes.Of(operation), operation.ExpiresAt) { Operation = IsCached ? operation : null };
        rows.Add(operation.OperationId, row);
        Bytes += row.Size;
        snapshot = null;
    }

    public void Remove(string id)
    {
        if (rows.Remove(id, out var row))
        {
            Bytes -= row.Size;
            snapshot = null;
        }
    }

    public void KeepOnly(IReadOnlySet<long> numbers) => RemoveAll(row => !numbers.Contains(row.Number));

    public void RemoveOverdue(DateTimeOffset now) => RemoveAll(row => row.IsOverdue(now));

    /// <summary>Drops the cached operations. What counts against the limits stays.</summary>
    public void Drop()
    {
        (IsCached, snapshot) = (false, null);
        foreach (var row in rows.Values)
        {
            row.Operation = null;
        }
    }

    private void RemoveAll(Func<Row, bool> which)
    {
        foreach (var (id, row) in rows)
        {
            if (which(row))
            {
                Remove(id);
            }
        }
    }

    // A pending operation never changes, so the numbers identify the content.
    private static long VersionOf(IEnumerable<Operation> operations)
    {
        long[] numbers = [.. operations.Select(operation => operation.Id)];
        return BitConverter.ToInt64(SHA256.HashData(MemoryMarshal.AsBytes<long>(numbers)));
    }

    private sealed record Row(long Number, int Size, DateTimeOffset? ExpiresAt)
    {
        public Operation? Operation { get; set; }

        public bool IsOverdue(DateTimeOffset now) => ExpiresAt <= now;
    }
}
