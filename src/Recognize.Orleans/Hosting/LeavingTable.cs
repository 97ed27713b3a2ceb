using System.Diagnostics;
using Microsoft.Extensions.Options;
using Orleans.Configuration;

namespace Recognize.Orleans.Hosting;

/// <summary>
/// The membership table, with little patience once the silo leaves. Orleans asks a database that is away again and again, two
/// minutes long, before it lets a silo go without having said so.
/// </summary>
internal sealed class LeavingTable(IMembershipTable table, IOptions<ClusterMembershipOptions> options) : IMembershipTable, ILifecycleParticipant<ISiloLifecycle>, IDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(250);

    private readonly CancellationTokenSource overdue = new();
    private volatile bool isLeaving;
    private volatile bool isAway;

    // Of all stages the last one stops first.
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
        while (!await IsThereAsync())
        {
            if (cancellationToken.IsCancellationRequested || Stopwatch.GetElapsedTime(begin) > Patience)
            {
                // For so long Orleans repeats a change of the silo's status, and zero would be for ever. Silos that change the
                // table at once need it; here the others find out by themselves that the silo is gone.
                options.Value.MaxJoinAttemptTime = TimeSpan.FromTicks(1);
                isAway = true;
                return;
            }

            await Task.Delay(Pause, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task<bool> IsThereAsync()
    {
        try
        {
            // A stop that is cut off tells the others all the same, if the database answers.
            await ReadAllAsync(CancellationToken.None);
            return true;
        }
        catch (Exception)
        {
            // Whatever it says, the table cannot be told that this silo leaves.
            return false;
        }
    }

    private Task<T> AskAsync<T>(Func<CancellationToken, Task<T>> ask, CancellationToken cancellationToken) => (isAway, isLeaving) switch
    {
        (true, _) => Task.FromException<T>(new TimeoutException("The database does not answer, and the silo stops.")),

        // A driver may block while it connects, and take its time to cancel.
        (_, true) => Task.Run(() => ask(cancellationToken), cancellationToken).WaitAsync(Patience, cancellationToken),
        _ => ask(cancellationToken).WaitAsync(overdue.Token),
    };
}
