using System.Text;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations.Retention;

[Collection(nameof(SqliteCluster))]
public sealed class SweepsOnSqlite(SqliteCluster cluster) : SweepTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class SweepsOnPostgreSql(PostgreSqlCluster cluster) : SweepTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class SweepsOnSqlServer(SqlServerCluster cluster) : SweepTests(cluster);

// What ended long ago is removed, in two steps, and nothing else is.
public abstract class SweepTests(ClusterFixture cluster)
{
    private static readonly TimeSpan Tick = TimeSpan.FromTicks(1);
    private static readonly TimeSpan Kept = ClusterFixture.Kept.Operations;
    private static readonly TimeSpan TombstonesKept = ClusterFixture.Kept.Tombstones;

    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    [SkippableTheory]
    [InlineData(OperationStatus.Approved)]
    [InlineData(OperationStatus.Denied)]
    [InlineData(OperationStatus.Cancelled)]
    [InlineData(OperationStatus.Expired)]
    public async Task An_operation_is_gone_once_its_end_is_as_long_ago_as_operations_are_kept_and_not_a_tick_before(OperationStatus status)
    {
        await EndAsync(id, status);
        cluster.Clock.Advance(Kept - Tick);
        await cluster.SweepAsync();

        // A read just before the removal leaves an activation that remembers.
        Assert.Equal(status, (await cluster.OtherSilo.ReadAsync(id))!.Status);
        Assert.Single(await HistoryAsync(user));

        cluster.Clock.Advance(Tick);
        await cluster.SweepAsync();

        Assert.Null(await cluster.OtherSilo.ReadAsync(id));
        Assert.Null(await cluster.OneSilo.ReadAsync(id));
        Assert.Empty(await HistoryAsync(user));
        Assert.Equal(OperationOutcome.NotFound, await cluster.OtherSilo.DecideAsync(user, id));
        Assert.Equal(OperationOutcome.NotFound, await cluster.OneSilo.GetOperation(new(Journey.Customer, id)).CancelAsync(null));
    }

    [SkippableFact]
    public async Task Its_id_stays_taken_for_as_long_as_its_tombstone_stands_and_not_a_tick_longer()
    {
        await EndAsync(id, OperationStatus.Approved);
        cluster.Clock.Advance(Kept);
        await cluster.SweepAsync();
        cluster.Clock.Advance(TombstonesKept - Tick);
        await cluster.SweepAsync();

        Assert.Equal(OperationOutcome.Duplicate, await cluster.OneSilo.CreateAsync(user, id));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(Journey.NewUser(), id));
        Assert.True(await RowOfAsync(id) is { Length: < 140 } tombstone && tombstone.StartsWith("""{"v":4,"keys":["op/~/""", StringComparison.Ordinal));
        Assert.DoesNotContain(await cluster.TestDatabase.QueryAsync("SELECT OperationId FROM RecognizeOperations"), row => (string?)row["OperationId"] == id);

        cluster.Clock.Advance(Tick);
        await cluster.SweepAsync();

        Assert.Null(await RowOfAsync(id));
        var other = Journey.NewUser();
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(other, id));
        Assert.Equal([id], await cluster.OneSilo.ListAsync(other));
        Assert.Equal(OperationStatus.Pending, (await cluster.OneSilo.ReadAsync(id))!.Status);
        Assert.Single(await HistoryAsync(other));
    }

    [SkippableFact]
    public async Task What_is_pending_or_ended_later_stays_whatever_goes_beside_it()
    {
        var (pending, late, gone) = (Journey.NewId(), Journey.NewId(), Enumerable.Range(0, 3).Select(_ => Journey.NewId()).ToList());
        await cluster.OneSilo.CreateAsync(user, pending);
        await cluster.OneSilo.CreateAsync(user, late);
        await InOrder.ForEachAsync(gone, async one =>
        {
            await EndAsync(one, OperationStatus.Denied);
        });

        cluster.Clock.Advance(TimeSpan.FromMinutes(1));
        await cluster.OtherSilo.DecideAsync(user, late);
        cluster.Clock.Advance(Kept - Tick);

        await cluster.SweepAsync();

        Assert.Equal([late, pending], await HistoryAsync(user));
        Assert.Equal([pending], await cluster.OtherSilo.ListAsync(user));
        Assert.All(await Task.WhenAll(gone.Select(cluster.OtherSilo.ReadAsync)), Assert.Null);
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.DecideAsync(user, pending));
    }

    [SkippableFact]
    public async Task More_than_a_batch_of_many_users_goes_in_one_sweep()
    {
        // More users than are asked, and more operations of one user and more rows than are read, at once.
        var owners = Enumerable.Range(0, 70).Select(_ => Journey.NewUser()).ToList();
        var creates = await Task.WhenAll(owners.Select(async (owner, number) =>
        {
            var all = Enumerable.Range(0, number == 30 ? 110 : 7).Select(_ => Journey.NewId()).ToList();
            await InOrder.ForEachAsync(all, async one =>
            {
                await cluster.OneSilo.CreateAsync(owner, one);
                await cluster.OneSilo.DecideAsync(owner, one);
            });

            return all;
        }));
        var ids = creates.SelectMany(all => all).ToList();
        cluster.Clock.Advance(Kept);

        await cluster.SweepAsync();
        Assert.All(await Task.WhenAll(ids.Select(cluster.OneSilo.ReadAsync)), Assert.Null);
        var tombstones = await cluster.TestDatabase.VersionsAsync();
        Assert.All(ids, one => Assert.True(tombstones.ContainsKey(KeyOf(one))));

        cluster.Clock.Advance(TombstonesKept);
        await cluster.SweepAsync();

        var rows = await cluster.TestDatabase.VersionsAsync();
        Assert.All(ids, one => Assert.False(rows.ContainsKey(KeyOf(one))));
    }

    [SkippableFact]
    public async Task A_sweep_that_finds_nothing_due_writes_nothing()
    {
        await cluster.OneSilo.CreateAsync(user, id);
        await EndAsync(Journey.NewId(), OperationStatus.Approved);
        cluster.Clock.Advance(Kept - Tick);
        await cluster.SweepAsync();
        var before = await cluster.TestDatabase.VersionsAsync();

        await cluster.SweepAsync();

        Assert.Equal(before, await cluster.TestDatabase.VersionsAsync());
    }

    [SkippableFact]
    public async Task Creates_beside_a_sweep_of_their_users_operations_are_all_on_the_list()
    {
        var owners = await Task.WhenAll(Enumerable.Range(0, 20).Select(async _ =>
        {
            var (owner, old) = (Journey.NewUser(), Journey.NewId());
            await cluster.OneSilo.CreateAsync(owner, old);
            await cluster.OneSilo.DecideAsync(owner, old);
            return owner;
        }));
        cluster.Clock.Advance(Kept);

        var sweep = Task.Run(cluster.SweepAsync);
        var creates = await Task.WhenAll(owners.Select(owner => Task.Run(() => cluster.OtherSilo.CreateAsync(owner, $"next-{owner}"))));
        await sweep;

        Assert.All(creates, outcome => Assert.Equal(OperationOutcome.Done, outcome));
        await cluster.DeactivateAsync([.. owners.Select(owner => cluster.OneSilo.GetUser(new(Journey.Customer, owner)))]);
        var lists = await Task.WhenAll(owners.Select(owner => cluster.OneSilo.ListAsync(owner)));
        Assert.Equal(owners.Select(owner => $"next-{owner}"), lists.Select(Assert.Single));
    }

    [SkippableFact]
    public async Task A_row_that_cannot_be_read_keeps_no_other_from_going()
    {
        string[] ids = [Journey.NewId(), Journey.NewId(), Journey.NewId()];
        string[] owners = [$"AAAA{user}", $"BBBB{user}", $"CCCC{user}"];
        await InOrder.ForEachAsync(owners.Zip(ids), async item =>
        {
            var (owner, one) = item;
            await cluster.OneSilo.CreateAsync(owner, one);
            await cluster.OneSilo.DecideAsync(owner, one);
        });

        await cluster.DeactivateAsync([.. ids.Select(one => cluster.OneSilo.GetOperation(new(Journey.Customer, one)))]);
        await cluster.TestDatabase.ExecuteAsync("UPDATE OrleansStorage SET PayloadBinary = @Payload WHERE GrainIdExtensionString = @Key", ("Payload", "not JSON"u8.ToArray()), ("Key", KeyOf(ids[1])));
        await cluster.TestDatabase.ExecuteAsync("UPDATE OrleansStorage SET OwnerKey = 'op/no place' WHERE GrainIdExtensionString = @Key", ("Key", KeyOf(ids[1])));
        await cluster.TestDatabase.ExecuteAsync("UPDATE OrleansStorage SET PayloadBinary = @Payload WHERE GrainIdExtensionString = @Key", ("Payload", "null"u8.ToArray()), ("Key", KeyOf(ids[0])));
        cluster.Clock.Advance(Kept);

        await cluster.SweepAsync();

        Assert.Null(await cluster.OtherSilo.ReadAsync(ids[2]));
        Assert.Equal("null", await RowOfAsync(ids[0]));
        await cluster.TestDatabase.ExecuteAsync("DELETE FROM OrleansStorage WHERE GrainIdExtensionString IN (@One, @Other)", ("One", KeyOf(ids[0])), ("Other", KeyOf(ids[1])));
    }

    [SkippableTheory]
    [InlineData(FailedWrite.BeforeItsCommit)]
    [InlineData(FailedWrite.AfterItsCommit)]
    [InlineData(FailedWrite.NoRoom)]
    public async Task A_removal_that_fails_keeps_no_other_from_it_and_is_done_by_the_next_sweep(FailedWrite moment)
    {
        var other = Journey.NewId();
        await EndAsync(id, OperationStatus.Approved);
        await EndAsync(other, OperationStatus.Approved);
        cluster.Clock.Advance(Kept);
        cluster.Storage.FailNextWrite(cluster.OneSilo.GetOperation(new(Journey.Customer, id)), moment);
        await cluster.SweepAsync();
        Assert.Null(await cluster.OtherSilo.ReadAsync(other));
        Assert.Equal(moment is not FailedWrite.AfterItsCommit, await cluster.OtherSilo.ReadAsync(id) is not null);

        await cluster.SweepAsync();

        Assert.Null(await cluster.OtherSilo.ReadAsync(id));
        cluster.Clock.Advance(TombstonesKept);
        cluster.Storage.FailNextWrite(cluster.OneSilo.GetOperation(new(Journey.Customer, id)), moment);
        await cluster.SweepAsync();
        Assert.Null(await cluster.OneSilo.ReadAsync(id));
        await cluster.SweepAsync();
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, id));
    }

    [SkippableTheory]
    [InlineData("null")]
    [InlineData(null)]
    public async Task A_row_that_cannot_be_read_keeps_no_other_of_its_user_from_going(string? payload)
    {
        string[] ids = [Journey.NewId(), Journey.NewId(), Journey.NewId()];
        await InOrder.ForEachAsync(ids, async one =>
        {
            await EndAsync(one, OperationStatus.Denied);
        });

        await cluster.TestDatabase.ExecuteAsync(
            $"UPDATE OrleansStorage SET PayloadBinary = {(payload is null ? "NULL" : "@Payload")} WHERE GrainIdExtensionString = @Key",
            ("Payload", Encoding.UTF8.GetBytes(payload ?? "")),
            ("Key", KeyOf(ids[0])));
        await cluster.DeactivateAsync([.. ids.Select(one => cluster.OneSilo.GetOperation(new(Journey.Customer, one)))]);
        cluster.Clock.Advance(Kept);

        await cluster.SweepAsync();

        Assert.Null(await cluster.OtherSilo.ReadAsync(ids[1]));
        Assert.Null(await cluster.OtherSilo.ReadAsync(ids[2]));
        Assert.Contains(KeyOf(ids[0]), await cluster.TestDatabase.VersionsAsync());
        Assert.Empty(await HistoryAsync(user));
        await cluster.TestDatabase.ExecuteAsync("DELETE FROM OrleansStorage WHERE GrainIdExtensionString = @Key", ("Key", KeyOf(ids[0])));
    }

    [SkippableFact]
    public void One_silo_of_the_cluster_sweeps() => Assert.True(cluster.RetentionOn(0).IsItsTurn ^ cluster.RetentionOn(1).IsItsTurn);

    private static string KeyOf(string operationId) => $"op/acme/{operationId}/";

    private async Task EndAsync(string operationId, OperationStatus status)
    {
        cluster.AdvanceToNextMillisecond();
        var lifetime = TimeSpan.FromSeconds(5);
        await cluster.OneSilo.CreateAsync(user, operationId, payload: "pay 5", expiresIn: status is OperationStatus.Expired ? lifetime : null);
        _ = status switch
        {
            OperationStatus.Approved => await cluster.OneSilo.DecideAsync(user, operationId),
            OperationStatus.Denied => await cluster.OneSilo.DecideAsync(user, operationId, Verdict.Deny),
            OperationStatus.Cancelled => await cluster.OneSilo.GetOperation(new(Journey.Customer, operationId)).CancelAsync(null),
            _ => OperationOutcome.Done,
        };

        // So that what is expired ended now as well.
        cluster.Clock.Advance(status is OperationStatus.Expired ? lifetime : TimeSpan.Zero);
    }

    private async Task<IReadOnlyList<string>> HistoryAsync(string owner) =>
        [.. (await cluster.OtherSilo.GetUser(new(Journey.Customer, owner)).ListHistoryAsync(null, null, 100)).Operations.Select(operation => operation.OperationId)];

    private async Task<string?> RowOfAsync(string operationId) =>
        (await cluster.TestDatabase.QueryAsync("SELECT GrainIdExtensionString AS GrainKey, PayloadBinary FROM OrleansStorage"))
            .Where(row => (string)row["GrainKey"]! == KeyOf(operationId))
            .Select(row => Encoding.UTF8.GetString((byte[])row["PayloadBinary"]!))
            .SingleOrDefault();
}
