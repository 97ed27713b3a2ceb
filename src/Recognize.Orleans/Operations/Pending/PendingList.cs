using System.Runtime.InteropServices;
using System.Security.Cryptography;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>A user's pending operations in the order of creation, if they are cached.</summary>
internal sealed class PendingList
{
    private List<Operation>? operations;
    private PendingSnapshot? snapshot;

    public bool IsCached => operations is not null;

    /// <summary>When the read of the rows began, as a timestamp of the clock.</summary>
    public long ReadAt { get; private set; }

    /// <summary>The list; only while it is cached.</summary>
    public PendingSnapshot Snapshot() => snapshot ??= new() { Version = VersionOf(operations!), Operations = [.. operations!] };

    public void Set(List<Operation> found, long readAt) => (operations, snapshot, ReadAt) = (found, null, readAt);

    public void Drop() => (operations, snapshot) = (null, null);

    public void Add(Operation operation)
    {
        if (operations is not null)
        {
            snapshot = null;
            Insert(operations, operation);
        }
    }

    public void RemoveAll(Predicate<Operation> which)
    {
        if (operations?.RemoveAll(which) > 0)
        {
            snapshot = null;
        }
    }

    /// <summary>Inserts an operation at its place, unless it is there.</summary>
    // Searches from the end, because the operation is almost always the newest.
    public static void Insert(List<Operation> operations, Operation operation)
    {
        var index = operations.Count;
        while (index > 0 && IsBefore(operation, operations[index - 1]))
        {
            index--;
        }

        if (index == 0 || operations[index - 1].Id != operation.Id)
        {
            operations.Insert(index, operation);
        }
    }

    private static bool IsBefore(Operation one, Operation other) =>
        one.CreatedAt != other.CreatedAt ? one.CreatedAt < other.CreatedAt : one.Id < other.Id;

    // A pending operation never changes, so the numbers identify the content.
    private static long VersionOf(List<Operation> operations)
    {
        long[] numbers = [.. operations.Select(operation => operation.Id)];
        return BitConverter.ToInt64(SHA256.HashData(MemoryMarshal.AsBytes<long>(numbers)));
    }
}
