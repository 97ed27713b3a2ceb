using Orleans.Storage;

namespace Recognize.Orleans.Storage;

/// <summary>
/// One grain's state in the database, and what of it is known here. <see cref="Current"/> is never ahead of the database: what
/// reads and rules look at is durable.
/// </summary>
internal sealed class StoredState<T>(IGrainBase grain, IGrainStorage storage, string name)
    where T : class, new()
{
    private GrainState<T> row = new();
    private Task<bool>? reading;
    private bool isKnown;

    // A read that was begun before a write, or before it was known to be needed again, may show what was before.
    private int age;

    /// <summary>Whether the first row of another grain can be written together with this state.</summary>
    public bool CanWriteWith => storage is IPairedGrainStorage;

    /// <summary>
    /// Whether another grain writes the first row. It may do so at any time, and nobody may hear of it, so that absence is then never remembered.
    /// </summary>
    public bool BeginsElsewhere { get; init; }

    /// <summary>What is stored, once it is known; null when nothing is.</summary>
    public T? Current { get; private set; }

    /// <summary>What a write that is on its way will leave: the database may hold it already, and others may have seen it there.</summary>
    public T? Attempted { get; private set; }

    public async ValueTask<T?> ReadAsync()
    {
        // Calls that interleave share one read. But one that began before this call may have been too early for a row that
        // another grain wrote: that it found nothing says nothing.
        for (var isEarly = reading is not null && BeginsElsewhere; !isKnown; isEarly = false)
        {
            var mine = reading ??= ReadOnceAsync();
            try
            {
                if (await mine && !isKnown && !isEarly)
                {
                    return null;
                }
            }
            finally
            {
                reading = reading == mine ? null : reading;
            }
        }

        return Current;
    }

    public Task WriteAsync(T next) => WriteAsync(next, async write =>
    {
        await storage.WriteStateAsync(name, grain.GrainContext.GrainId, write);
        return true;
    });

    /// <summary>Writes this state together with the first row of another grain: both or neither.</summary>
    /// <returns>False when the other grain has a row already; then nothing was written.</returns>
    public Task<bool> WriteWithAsync(T next, FirstRow first) =>
        WriteAsync(next, write => ((IPairedGrainStorage)storage).InsertWithAsync(first, name, grain.GrainContext.GrainId, write));

    /// <summary>Deletes the row that <see cref="Current"/> is of. A write after that is a first one.</summary>
    public Task DeleteAsync() => WriteAsync(new(), async write =>
    {
        await storage.ClearStateAsync(name, grain.GrainContext.GrainId, write);
        (write.ETag, write.RecordExists) = (null!, false);
        return true;
    });

    /// <summary>Keeps in memory what can be derived anew at any time and so needs no write of its own. Of no row nothing is derived.</summary>
    public void Keep(T derived) => Current = row.RecordExists ? derived : null;

    // True when the read was in time to say what is stored, even that nothing is.
    private async Task<bool> ReadOnceAsync()
    {
        var begun = age;
        var read = new GrainState<T>();
        await storage.ReadStateAsync(name, grain.GrainContext.GrainId, read);
        if (begun != age)
        {
            return false;
        }

        Accept(read);
        return true;
    }

    private async Task<bool> WriteAsync(T next, Func<GrainState<T>, Task<bool>> write)
    {
        var isWritten = false;
        var written = new GrainState<T>(next, row.ETag!) { RecordExists = row.RecordExists };
        Attempted = next;
        try
        {
            isWritten = await write(written);
        }
        catch (StorageBusyException)
        {
            // Nothing was written: what is known here is true still, and reading it again would only add to the load.
            throw;
        }
        catch
        {
            // A failed write may still have reached the database, so memory can no longer be trusted:
            // drop the activation and let the next call read the stored truth.
            Forget();
            grain.DeactivateOnIdle();
            throw;
        }
        finally
        {
            Attempted = null;
        }

        if (isWritten)
        {
            Accept(written);
        }

        return isWritten;
    }

    private void Forget()
    {
        isKnown = false;
        reading = null;
        age++;
    }

    private void Accept(GrainState<T> accepted)
    {
        age++;
        row = accepted;
        Current = accepted.RecordExists ? accepted.State : null;
        isKnown = accepted.RecordExists || !BeginsElsewhere;
    }
}
