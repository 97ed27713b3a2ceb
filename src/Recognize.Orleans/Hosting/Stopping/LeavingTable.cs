using System.Diagnostics;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Recognize.Orleans.Hosting.Stopping;

/// <summary>
/// The membership table, with short timeouts once the silo leaves. Orleans retries a database that does not answer for
/// two minutes before it lets a silo go without having said so.
/// </summary>
internal sealed class LeavingTable(IMembershipTable table, IOptions<ClusterMembershipOptions> options) : IMembershipTable, ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    private readonly CancellationTokenSource overdue = new();
    private volatile bool isLeaving;
    private volatile bool isAway;

    // The last stage is the first to stop.
    public void Participate(ISiloLifecycle lifecycle) => lifecycle.Subscribe(nameof(LeavingTable), ServiceLifecycleStage.Last, _ => Task.CompletedTask, LeaveAsync);

    public void Dispose() => overdue.Dispose();

    public Task InitializeMembershipTable(bool tryInitTableVersion) => InitializeMembershipTableAsync(tryInitTableVersion, CancellationToken.None);

    public Task InitializeMembershipTableAsync(bool tryInitTableVersion, CancellationToken cancellationToken) => table.InitializeMembershipTableAsync(tryInitTableVersion, cancellationToken);

    public Task DeleteMembershipTableEntries(string clusterId) => DeleteMembershipTableEntriesAsync(clusterId, CancellationToken.None);

    public Task DeleteMembershipTableEntriesAsync(string clusterId, CancellationToken cancellationToken) => table.DeleteMembershipTableEntriesAsync(clusterId, cancellationToken);

    public Task CleanupDefunctSiloEntries(DateTimeOffset beforeDate) => CleanupDefunctSiloEntriesAsync(beforeDate, CancellationToken.None);

    public Task CleanupDefunctSiloEntriesAsync(DateTimeOffset beforeDate, CancellationToken cancellationToken) =>
        AskAsync(token => Done(table.CleanupDefunctSiloEntriesAsync(beforeDate, token)), cancellationToken);

    public Task<MembershipTableData> ReadRow(SiloAddress key) => ReadRowAsync(key, CancellationToken.None);

    public Task<MembershipTableData> ReadRowAsync(SiloAddress key, CancellationToken cancellationToken) => AskAsync(token => table.ReadRowAsync(key, token), cancellationToken);

    public Task<MembershipTableData> ReadAll() => ReadAllAsync(CancellationToken.None);

    public Task<MembershipTableData> ReadAllAsync(CancellationToken cancellationToken) => AskAsync(table.ReadAllAsync, cancellationToken);

    public Task<bool> InsertRow(MembershipEntry entry, TableVersion tableVersion) => InsertRowAsync(entry, tableVersion, CancellationToken.None);

    public Task<bool> InsertRowAsync(MembershipEntry entry, TableVersion tableVersion, CancellationToken cancellationToken) =>
        AskAsync(token => table.InsertRowAsync(entry, tableVersion, token), cancellationToken);

    public Task<bool> UpdateRow(MembershipEntry entry, string etag, TableVersion tableVersion) => UpdateRowAsync(entry, etag, tableVersion, CancellationToken.None);

    public Task<bool> UpdateRowAsync(MembershipEntry entry, string etag, TableVersion tableVersion, CancellationToken cancellationToken) =>
        AskAsync(token => table.UpdateRowAsync(entry, etag, tableVersion, token), cancellationToken);

    public Task UpdateIAmAlive(MembershipEntry entry) => UpdateIAmAliveAsync(entry, CancellationToken.None);

    public Task UpdateIAmAliveAsync(MembershipEntry entry, CancellationToken cancellationToken) =>
        AskAsync(token => Done(table.UpdateIAmAliveAsync(entry, token)), cancellationToken);

    private static async Task<bool> Done(Task task)
    {
        await task;
        return true;
    }

    private async Task LeaveAsync(CancellationToken cancellationToken)
    {
        isLeaving = true;
        overdue.CancelAfter(Patience);
        var begin = Stopwatch.GetTimestamp();
        while (!await CanReadTableAsync())
        {
            if (cancellationToken.IsCancellationRequested || Stopwatch.GetElapsedTime(begin) > Patience)
            {
                // Orleans retries a change of the silo's status for this long, and zero would be for ever. The retries
                // are for silos that change the table at the same time. Here the others detect by themselves that the
                // silo is gone.
                options.Value.MaxJoinAttemptTime = TimeSpan.FromTicks(1);
                isAway = true;
                return;
            }

            await Task.Delay(Pause, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<bool> CanReadTableAsync()
    {
        try
        {
            // No token is passed: even a stop that is cut off tells the others, if the database answers.
            await ReadAllAsync(CancellationToken.None);
            return true;
        }
        catch (Exception)
        {
            // Whatever the error is: a table that cannot be read will not record either that this silo leaves.
            return false;
        }
    }

    private Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> ask, CancellationToken cancellationToken) => (isAway, isLeaving) switch
    {
        (true, _) => Task.FromException<T>(new TimeoutException("The database does not answer, and the silo stops.")),

        // A driver may block while it connects, and be slow to cancel.
        (_, true) => Task.Run(() => ask(cancellationToken), cancellationToken).WaitAsync(Patience, cancellationToken),
        _ => ask(cancellationToken).WaitAsync(overdue.Token),
    };
}
