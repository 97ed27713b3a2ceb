using Orleans.Storage;

namespace Recognize.Orleans.Storage;

/// <summary>
/// One grain's state in the database, and what of it is known here. What is known is durable, and told only as long as <see cref="Freshness"/> allows:
/// another activation may write the row as well, and only the row's version decides between the two.
/// </summary>
/// <param name="grain">Whose state it is.</param>
/// <param name="storage">Where its row is.</param>
/// <param name="name">The type of the row.</param>
/// <param name="isFinal">Whether a state can never change any more.</param>
/// <param name="freshness">How long any other state is known.</param>
internal sealed class StoredState<T>(GrainId grain, IGrainStorage storage, string name, Func<T, bool> isFinal, Freshness freshness)
    where T : class, new()
{
    private GrainState<T> row = new();
    private SingleFlight<GrainState<T>>? reads;
    private long sent;
    private int changes;
    private bool isWriting;
    private long? unanswered;

    // That there is no row is never known for longer than a call: another grain can insert it without telling us.
    private T? Known => StateIn(row);

    private bool IsTrusted => Known is { } known && (isFinal(known) || (!isWriting && !freshness.IsOutcomeUnknown(unanswered) && freshness.IsFresh(sent)));

    /// <summary>
    /// What is stored, or null. While a write is on its way, or has got no answer, a state that is not final comes from a read that began after this call.
    /// </summary>
    public async ValueTask<T?> ReadAsync() => StateIn(await ReadRowAsync());

    /// <summary>What <see cref="ReadAsync"/> returns, with the version of its row: the state that a rule looks at and the version that its write compares must be one.</summary>
    public ValueTask<GrainState<T>> ReadRowAsync() => IsTrusted ? new(row) : new(LookAsync());

    /// <summary>The state in a row, or null.</summary>
    public static T? StateIn(GrainState<T> row) => row.RecordExists ? row.State : null;

    /// <summary>Writes the state that follows the one in a row. One write at a time.</summary>
    /// <returns>False when the row has moved on since it was read: nothing was written, and what is known comes from the next read.</returns>
    /// <exception cref="Exception">The write failed; unless <see cref="StorageFaults.IsRefusal"/>, it may have been done, or still be.</exception>
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
        // Thousands of operations are in memory that nobody reads at this moment.
        var mine = reads ??= new(ReadOnceAsync);
        try
        {
            // A read that is on its way may have been sent too early to prove anything but what it finds.
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

            // A write that was answered meanwhile knows better than this read, unless it has only learned that the row has moved on.
            if (row.RecordExists)
            {
                return row;
            }
        }
    }
}
