using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.State;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>Refreshes what is cached of one user's pending operations from the database.</summary>
internal sealed class PendingRefresh
{
    // Nearly every list fits the first page. A longer one is read page by page, in the customer's turn and within its
    // quota, so that others are served in the meantime.
    private const int FirstPage = UserHistory.ShortPage;
    private const int NextPage = 100;

    // How many overdue operations are written as expired at once.
    private const int MostExpired = 100;

    private readonly UserKey user;
    private readonly PendingOperations pending;
    private readonly OperationHistory history;
    private readonly CustomerQuotas quotas;
    private readonly IGrainFactory grains;
    private readonly TimeProvider clock;
    private readonly SingleFlight<PendingSnapshot?> refreshes;
    private Task expiring = Task.CompletedTask;
    private bool isListWanted;

    public PendingRefresh(UserKey user, PendingOperations pending, OperationHistory history, CustomerQuotas quotas, IGrainFactory grains, TimeProvider clock)
    {
        this.user = user;
        this.pending = pending;
        this.history = history;
        this.quotas = quotas;
        this.grains = grains;
        this.clock = clock;
        refreshes = new(RefreshAsync);
    }

    /// <summary>
    /// Refreshes what counts against the limits. A call that comes while a refresh is in flight waits for the next one,
    /// which all such calls share.
    /// </summary>
    public Task CountAsync() => refreshes.RunAsync();

    /// <summary>Refreshes the list.</summary>
    /// <inheritdoc cref="CountAsync"/>
    public async Task<PendingSnapshot> ListAsync()
    {
        // The refresh that serves this call begins after this, and reads the flag.
        isListWanted = true;
        return (await refreshes.RunAsync())!;
    }

    private async Task<PendingSnapshot?> RefreshAsync()
    {
        var isForList = isListWanted;
        isListWanted = false;
        try
        {
            // A long list may be dropped while the numbers are read.
            return CanAnswer() && await TryNumbersAsync() && CanAnswer()
                ? pending.HasList ? pending.Snapshot() : null
                : await ReadRowsAsync();
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
        var rows = page.Rows.Select(row => row.State).OfType<OperationState>().ToList();
        if (!page.IsLast)
        {
            using var turn = await quotas.TakeReadTurnAsync(user.Customer);

            // The first page may be stale by now, because others had their turns first.
            refresh = pending.BeginRefresh();
            rows = await ReadPagesAsync();
        }

        var now = clock.GetUtcNow();
        if (expiring.IsCompleted)
        {
            // Keeps the index of pending operations short. No call waits for it.
            expiring = ExpireAsync([.. rows.Where(row => row.IsOverdue(now)).Take(MostExpired)]);
        }

        return pending.EndRefresh(refresh, rows.Where(row => !row.IsOverdue(now)).Select(row => row.ToOperation()));
    }

    private async Task<List<OperationState>> ReadPagesAsync()
    {
        var rows = new List<OperationState>();
        var begun = clock.GetTimestamp();
        string? after = null;
        while (true)
        {
            var page = await history.ReadPendingAsync(user, after, NextPage);
            quotas.CountRead(user.Customer, page.Bytes);
            rows.AddRange(page.Rows.Select(row => row.State).OfType<OperationState>());
            if (page.IsLast)
            {
                return rows;
            }

            after = page.Rows[^1].Position;
            await (clock.GetElapsedTime(begun) < Times.LongestPacedRead ? quotas.PaceReadAsync(user.Customer, page.Bytes) : ValueTask.CompletedTask);
        }
    }

    private Task ExpireAsync(IReadOnlyList<OperationState> overdue) =>
        overdue.Count == 0 ? Task.CompletedTask : Task.WhenAll(overdue.Select(operation => grains.GetOperation(new(user.Customer, operation.OperationId)).GetAsync()));
}
