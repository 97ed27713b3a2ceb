using Recognize.Orleans.State;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>Refreshes what is cached of one user's pending operations from the database.</summary>
internal sealed class PendingRefresh(UserKey user, PendingOperations pending, OperationHistory history, IGrainFactory grains, TimeProvider clock)
{
    // Nearly every list fits the first page, which shares a round trip with those of other users. The second page has
    // all that the limit of pending operations allows.
    private const int FirstPage = 25;
    private const int NextPage = 1_000;

    // How many overdue operations are written as expired at once.
    private const int MostExpired = 100;

    private SingleFlight<PendingSnapshot?>? refreshes;
    private Task expiring = Task.CompletedTask;
    private bool isListWanted;

    /// <summary>
    /// Refreshes what counts against the limits. A call that comes while a refresh is in flight waits for the next one,
    /// which all such calls share.
    /// </summary>
    public Task CountAsync() => RunAsync();

    /// <summary>Refreshes the list.</summary>
    /// <inheritdoc cref="CountAsync"/>
    public async Task<PendingSnapshot> ListAsync()
    {
        // The refresh that serves this call begins after this, and reads the flag.
        isListWanted = true;
        return (await RunAsync())!;
    }

    private Task<PendingSnapshot?> RunAsync() => (refreshes ??= new(RefreshAsync)).RunAsync();

    private async Task<PendingSnapshot?> RefreshAsync()
    {
        var isForList = isListWanted;
        isListWanted = false;
        try
        {
            // A long list may be dropped while the numbers are read.
            var areNumbersEnough = CanAnswer() && await TryNumbersAsync() && CanAnswer();
            return !areNumbersEnough ? await ReadRowsAsync() : isForList ? pending.Snapshot(clock.GetUtcNow()) : null;
        }
        catch
        {
            pending.AbandonRefresh();
            throw;
        }

        bool CanAnswer() => pending.HasList || !isForList;
    }

    // Usually nothing has changed without our knowledge. The numbers need only the index; reading rows costs more.
    private async Task<bool> TryNumbersAsync()
    {
        if (!pending.HasRefreshed)
        {
            return false;
        }

        var refresh = pending.BeginRefresh();
        return pending.TryEndRefresh(refresh, await history.ReadPendingNumbersAsync(user), clock.GetUtcNow());
    }

    private async Task<PendingSnapshot> ReadRowsAsync()
    {
        var refresh = pending.BeginRefresh();
        var page = await history.ReadPendingAsync(user, after: null, FirstPage);
        var rows = page.Rows.ToList();
        while (!page.IsLast)
        {
            page = await history.ReadPendingAsync(user, after: rows[^1].Position, NextPage);
            rows.AddRange(page.Rows);
        }

        var now = clock.GetUtcNow();
        var operations = rows.Select(row => row.State).OfType<OperationState>().ToLookup(operation => operation.IsOverdue(now));
        if (expiring.IsCompleted)
        {
            // Keeps the index of pending operations short. No call waits for it.
            expiring = Task.WhenAll(operations[true].Take(MostExpired).Select(operation => grains.GetOperation(new(user.Customer, operation.OperationId)).GetAsync()));
        }

        return pending.EndRefresh(refresh, operations[false].Select(operation => operation.ToOperation()));
    }
}
