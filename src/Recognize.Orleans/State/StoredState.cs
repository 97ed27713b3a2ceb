using Orleans.Storage;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.State;

/// <summary>
/// One grain's state in the database, and what of it is cached here. Only durable state is cached, and it is served
/// only as long as <see cref="Freshness"/> allows: another activation may write the row as well, and only the row's
/// version decides between the two.
/// </summary>
/// <param name="grain">The grain of the state.</param>
/// <param name="storage">The storage that has its row.</param>
/// <param name="name">The type of the row.</param>
/// <param name="isFinal">Whether a state can never change again.</param>
/// <param name="freshness">How long any other state may be cached.</param>
internal sealed class StoredState<T>(GrainId grain, IGrainStorage storage, string name, Func<T, bool> isFinal, Freshness freshness)
    where T : class, new()
{
    private GrainState<T> row = new();
    private SingleFlight<GrainState<T>>? reads;
    private long sent;
    private int changes;
    private bool isWriting;
    private long? unanswered;

    // Another grain can insert this row without telling us, so 'no row' is never cached.
    private T? Known => StateIn(row);

    /// <summary>Whether the state is served without a read.</summary>
    public bool IsTrusted => Known is { } known && (isFinal(known) || (!isWriting && !freshness.IsOutcomeUnknown(unanswered) && freshness.IsFresh(sent)));

    /// <summary>
    /// The stored state, or null. While a write is in flight, or its outcome is unknown, a state that is not final
    /// comes from a read that began after this call.
    /// </summary>
    public async ValueTask<T?> ReadAsync() => StateIn(await ReadRowAsync());

    /// <summary>
    /// The state that <see cref="ReadAsync"/> returns, with the version of its row. The state that a rule looks at and
    /// the version that its write compares must come from one read.
    /// </summary>
    public ValueTask<GrainState<T>> ReadRowAsync() => IsTrusted ? new(row) : new(LookAsync());

    /// <summary>The row of a state that was just created.</summary>
    public static GrainState<T> FirstVersion(T state) => new(state, "1") { RecordExists = true };

    /// <summary>The state in a row, or null.</summary>
    public static T? StateIn(GrainState<T> row) => row.RecordExists ? row.State : null;

    /// <summary>Writes the state that follows the one in a row. Only one write may run at a time.</summary>
    /// <returns>
    /// False if the row has changed since it was read. Nothing was written, and the next call reads the row again.
    /// </returns>
    /// <exception cref="Exception">
    /// The write failed. Unless <see cref="StorageFaults.IsRefusal"/>, it may have happened, or may still happen.
    /// </exception>
    public Task<bool> TryWriteAsync(GrainState<T> read, T next) => TryAsync(read, next, storage.WriteStateAsync);

    /// <summary>Deletes a row.</summary>
    /// <inheritdoc cref="TryWriteAsync"/>
    public Task<bool> TryDeleteAsync(GrainState<T> read) => TryAsync(read, new(), storage.ClearStateAsync);

    private async Task<bool> TryAsync(GrainState<T> read, T next, Func<string, GrainId, IGrainState<T>, Task> write)
    {
        var begun = freshness.Now;
        var state = new GrainState<T>(next, read.ETag!) { RecordExists = read.RecordExists };
        isWriting = true;
        try
        {
            await write(name, grain, state);
        }
        catch (InconsistentStateException)
        {
            changes++;
            row = new();
            return false;
        }
        catch (Exception fault) when (!StorageFaults.IsRefusal(fault))
        {
            unanswered = freshness.Now;
            throw;
        }
        finally
        {
            isWriting = false;
        }

        changes++;
        (row, sent) = (state.RecordExists ? state : new(), begun);
        return true;
    }

    private async Task<GrainState<T>> LookAsync()
    {
        // The shared read is created only when one is needed and dropped after it: thousands of operations are in memory, and few are being read.
        var mine = reads ??= new(ReadOnceAsync);
        try
        {
            // A read in flight may have begun before this call. Its result is used only if it can be trusted; otherwise
            // a new read follows.
            await mine.Running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            return IsTrusted ? row : await mine.RunAsync();
        }
        finally
        {
            reads = reads == mine && mine.IsIdle ? null : reads;
        }
    }

    private async Task<GrainState<T>> ReadOnceAsync()
    {
        while (true)
        {
            var (begun, before) = (freshness.Now, changes);
            var read = new GrainState<T>();
            await storage.ReadStateAsync(name, grain, read);
            if (before == changes)
            {
                (row, sent) = (read, begun);
                return row;
            }

            // A write that was answered during this read is newer than the read. If that write left no row in memory,
            // because it met a conflict or deleted the row, only another read can tell.
            if (row.RecordExists)
            {
                return row;
            }
        }
    }
}
