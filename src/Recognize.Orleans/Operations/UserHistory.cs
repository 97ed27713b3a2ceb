using System.Collections.Immutable;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Operations;

/// <summary>The pages of one user's history.</summary>
/// <param name="user">The user.</param>
/// <param name="history">The rows.</param>
/// <param name="quotas">The customer's quotas for reads.</param>
/// <param name="grains">Called for operations that may have ended although their row does not show it.</param>
/// <param name="clock">The service's clock.</param>
internal sealed class UserHistory(UserKey user, OperationHistory history, CustomerQuotas quotas, IGrainFactory grains, TimeProvider clock)
{
    /// <summary>A page of more rows than this is read in the customer's turn and at its pace.</summary>
    public const int ShortPage = 25;

    // How many rows a page with a status filter reads at once, and in total. This bounds its cost, however long the
    // history is.
    private const int Batch = 100;
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
        var batch = status is null ? limit + 1 : Batch;
        for (var read = 0; read < MostRead; read += batch)
        {
            var (rows, isLast) = await ReadRowsAsync(after, batch);
            var operations = await Task.WhenAll(rows.Select(row => CurrentAsync(row.State)));
            foreach (var ((position, _), operation) in rows.Zip(operations))
            {
                if (page.Count == limit)
                {
                    return new() { Operations = page.ToImmutable(), Next = after };
                }

                after = position;
                if (operation is not null && (status is null || operation.Status == status))
                {
                    page.Add(operation);
                }
            }

            if (isLast)
            {
                return new() { Operations = page.ToImmutable() };
            }
        }

        return new() { Operations = page.ToImmutable(), Next = after };
    }

    private async Task<HistoryPage> ReadRowsAsync(string? after, int count)
    {
        if (count <= ShortPage)
        {
            return await history.ReadAsync(user, after, count);
        }

        using var turn = await quotas.TakeReadTurnAsync(user.Customer);
        var page = await history.ReadAsync(user, after, count);
        quotas.CountRead(user.Customer, page.Bytes);
        await quotas.PaceReadAsync(user.Customer, page.Bytes);
        return page;
    }

    // The operation's grain writes the expiry, and may know of a recent end before the row shows it.
    private async Task<Operation?> CurrentAsync(OperationState? state)
    {
        var now = clock.GetUtcNow();
        return state is null ? null
            : state.IsOverdue(now) || now - state.DecidedAt < Times.RecentEnd ? await grains.GetOperation(new(user.Customer, state.OperationId)).GetAsync()
            : state.ToOperation();
    }
}
