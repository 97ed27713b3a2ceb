using System.Collections.Immutable;

namespace Recognize.Orleans.Operations;

/// <summary>The pages of one user's history.</summary>
/// <param name="user">The user.</param>
/// <param name="history">The rows.</param>
/// <param name="grains">Called for operations that may have ended although their row does not show it.</param>
/// <param name="clock">The service's clock.</param>
internal sealed class UserHistory(UserKey user, OperationHistory history, IGrainFactory grains, TimeProvider clock)
{
    /// <summary>The most bytes of the operations on a page, counted as on a pending list. One always fits.</summary>
    public const int MostBytes = 1_048_576;

    // How many rows are read at once, and by a page with a status filter in total. This bounds its memory and its cost,
    // however long the history is.
    private const int Batch = 25;
    private const int MostRead = 1_000;

    private int reads;

    /// <summary>Whether a page is being read.</summary>
    public bool IsBeingRead => reads > 0;

    /// <summary>The newest operations after a position, newest first.</summary>
    /// <inheritdoc cref="IUserGrain.ListHistoryAsync"/>
    public async Task<OperationPage> ReadAsync(OperationStatus? status, string? after, int limit)
    {
        reads++;
        try
        {
            return await ReadPageAsync(status, after, limit);
        }
        finally
        {
            reads--;
        }
    }

    private async Task<OperationPage> ReadPageAsync(OperationStatus? status, string? after, int limit)
    {
        var page = ImmutableArray.CreateBuilder<Operation>(limit);
        var bytes = 0;
        for (var read = 0; read < MostRead; read += Batch)
        {
            // One more than the page needs tells whether there is another page.
            var batch = status is null ? Math.Min(limit + 1 - page.Count, Batch) : Batch;
            var (rows, isLast) = await history.ReadAsync(user, after, batch);
            var operations = await Task.WhenAll(rows.Select(row => CurrentAsync(row.State)));
            foreach (var ((position, _), operation) in rows.Zip(operations))
            {
                var isWanted = operation is not null && (status is null || operation.Status == status);
                bytes += isWanted ? SentBytes.Of(operation!) : 0;
                if (page.Count == limit || (page.Count > 0 && bytes > MostBytes))
                {
                    return new() { Operations = page.ToImmutable(), Next = after };
                }

                after = position;
                if (isWanted)
                {
                    page.Add(operation!);
                }
            }

            if (isLast)
            {
                return new() { Operations = page.ToImmutable() };
            }
        }

        return new() { Operations = page.ToImmutable(), Next = after };
    }

    // The operation's grain writes the expiry, and may know of a recent end before the row shows it.
    private async Task<Operation?> CurrentAsync(OperationState? state)
    {
        var now = clock.GetUtcNow();
        return state is null ? null
            : state.IsOverdue(now) || now - state.DecidedAt < OperationTimes.RecentEnd ? await grains.GetOperation(new(user.Customer, state.OperationId)).GetAsync()
            : state.ToOperation();
    }
}
