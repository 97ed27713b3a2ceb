using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations.Pending;

[Collection(nameof(SqliteCluster))]
public sealed class KnownListOnSqlite(SqliteCluster cluster) : KnownListTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class KnownListOnPostgreSql(PostgreSqlCluster cluster) : KnownListTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class KnownListOnSqlServer(SqlServerCluster cluster) : KnownListTests(cluster);

// A user's grain remembers what its last refresh found. It must not remember that for longer than it is true.
public abstract class KnownListTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string first = Journey.NewId();
    private readonly string second = Journey.NewId();

    private IOperationGrain First => cluster.OneSilo.GetOperation(new(Journey.Customer, first));

    private IOperationGrain Second => cluster.OneSilo.GetOperation(new(Journey.Customer, second));

    private IUserGrain User => cluster.OneSilo.GetUser(new(Journey.Customer, user));

    [SkippableFact]
    public async Task A_list_is_known_for_five_seconds_and_no_tick_longer_and_is_one_refresh()
    {
        await CreateBothAsync();
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        await cluster.DeactivateAsync(First);
        var (reads, refreshes) = (cluster.Storage.ReadsOf(First), cluster.Storage.RefreshesOf(User));

        cluster.Clock.Advance(Times.CacheLifetime - TimeSpan.FromTicks(1));
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        Assert.Equal(refreshes, cluster.Storage.RefreshesOf(User));

        cluster.Clock.Advance(TimeSpan.FromTicks(1));
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        Assert.Equal(refreshes + 1, cluster.Storage.RefreshesOf(User));
        Assert.Equal(reads, cluster.Storage.ReadsOf(First));
    }

    // Another text in the row shows where an answer came from: what is pending never changes.
    [SkippableFact]
    public async Task What_was_refreshed_is_told_from_memory_as_long_as_the_index_says_that_it_is_pending_still()
    {
        await CreateBothAsync();
        await cluster.DeactivateAsync(User);
        await cluster.OneSilo.ListAsync(user);
        await cluster.RewriteAsync<OperationState>(First, OperationState.Name, row => row with { Payload = "changed" });
        cluster.Clock.Advance(Times.CacheLifetime);
        Assert.DoesNotContain(await User.ListPendingAsync(), operation => operation.Payload == "changed");

        await cluster.DeactivateAsync(User);
        Assert.Contains(await User.ListPendingAsync(), operation => operation.Payload == "changed");
    }

    [SkippableFact]
    public async Task What_another_activation_has_created_is_found_by_its_number()
    {
        await CreateBothAsync();
        await cluster.OneSilo.ListAsync(user);
        var third = Journey.NewId();
        var grain = cluster.OneSilo.GetOperation(new(Journey.Customer, third));
        await cluster.RealStorage.WriteStateAsync(OperationState.Name, grain.GetGrainId(), new GrainState<OperationState>(
            OperationState.Create(new(Journey.Customer, user), Journey.RequestOf(third), 1_000_000, "node-9", cluster.Clock.GetUtcNow())));

        cluster.Clock.Advance(Times.CacheLifetime);

        Assert.Equal([first, second, third], await cluster.OneSilo.ListAsync(user));
    }

    // A decision that was answered takes its operation off the list. Of one that nobody was told of the list learns from the row alone.
    [SkippableFact]
    public async Task A_decision_that_is_durable_and_was_never_answered_is_on_no_list_after_it_was_seen()
    {
        await CreateBothAsync();
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        cluster.Storage.FailNextWrite(First, FailedWrite.AfterItsCommit);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.DecideAsync(user, first));

        Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(first))!.Status);
        Assert.Equal([second], await cluster.OtherSilo.ListAsync(user));
    }

    // A decision is announced to the user that it names, before anybody has looked whose operation it is.
    [SkippableFact]
    public async Task A_decision_that_is_refused_leaves_the_list_of_whom_it_names_in_memory()
    {
        await CreateBothAsync();
        var (other, theirs) = (Journey.NewUser(), Journey.NewId());
        await cluster.OneSilo.CreateAsync(other, theirs);
        await cluster.OneSilo.ListAsync(user);
        Assert.Equal(OperationOutcome.WrongUser, await cluster.OneSilo.DecideAsync(user, theirs));
        Assert.Equal(OperationOutcome.PayloadMismatch, await First.DecideAsync(new() { UserId = user, Verdict = Verdict.Approve, AuthType = AuthType.Biom, Payload = "another" }));
        var refreshes = cluster.Storage.RefreshesOf(User);

        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));

        Assert.Equal(refreshes, cluster.Storage.RefreshesOf(User));
    }

    [SkippableFact]
    public async Task A_decision_of_what_the_users_grain_has_created_reads_no_row_unless_another_was_first()
    {
        await CreateBothAsync();
        var reads = cluster.Storage.ReadsOf(First);
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.DecideAsync(user, first));
        Assert.Equal(reads, cluster.Storage.ReadsOf(First));

        await cluster.RewriteAsync<OperationState>(Second, OperationState.Name, row => row with { Status = OperationStatus.Denied, DecidedAt = row.CreatedAt, DecidedWith = AuthType.Pin });
        Assert.Equal(OperationOutcome.AlreadyDecided, await cluster.OneSilo.DecideAsync(user, second));
        Assert.Equal(OperationStatus.Denied, (await cluster.OtherSilo.ReadAsync(second))!.Status);
    }

    [SkippableFact]
    public async Task A_list_that_is_asked_while_a_decision_is_written_says_what_the_row_says()
    {
        await CreateBothAsync();
        using (var held = cluster.Storage.HoldNextWrite(First))
        {
            var decision = cluster.OneSilo.DecideAsync(user, first);
            await held.Reached;
            Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
            held.Fail();
            await Assert.ThrowsAnyAsync<Exception>(() => decision);
        }

        using (var held = cluster.Storage.HoldNextAnswer(First))
        {
            var decision = cluster.OneSilo.DecideAsync(user, first);
            await held.Reached;
            Assert.Equal([second], await cluster.OtherSilo.ListAsync(user));
            Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(first))!.Status);
            held.Fail();
            await Assert.ThrowsAnyAsync<Exception>(() => decision);
        }

        Assert.Equal(OperationStatus.Approved, (await cluster.OtherSilo.ReadAsync(first))!.Status);
        Assert.Equal([second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task A_refresh_that_was_on_its_way_when_a_decision_got_no_answer_is_not_remembered()
    {
        await CreateBothAsync();
        cluster.Clock.Advance(Times.CacheLifetime);
        using var held = cluster.Storage.HoldNextRefresh(User);
        var list = cluster.OtherSilo.ListAsync(user);
        await held.Reached;
        cluster.Storage.FailNextWrite(First, FailedWrite.AfterItsCommit);
        await Assert.ThrowsAnyAsync<Exception>(() => cluster.OneSilo.DecideAsync(user, first));
        held.Dispose();
        await list;

        Assert.Equal([second], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task What_is_created_or_decided_while_a_refresh_is_on_its_way_is_on_the_list_that_it_leaves_or_not()
    {
        await CreateBothAsync();
        cluster.Clock.Advance(Times.CacheLifetime);
        using var held = cluster.Storage.HoldNextRefresh(User);
        var list = cluster.OtherSilo.ListAsync(user);
        await held.Reached;
        var third = Journey.NewId();
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, third));
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.DecideAsync(user, first));
        held.Dispose();

        Assert.Contains(third, await list);
        Assert.Equal([second, third], await cluster.OtherSilo.ListAsync(user));
    }

    [SkippableFact]
    public async Task An_operation_that_is_created_or_cancelled_after_a_list_is_on_the_next_one_or_not()
    {
        await CreateBothAsync();
        Assert.Equal([first, second], await cluster.OtherSilo.ListAsync(user));
        var third = Journey.NewId();

        await cluster.OtherSilo.CreateAsync(user, third);
        Assert.Equal([first, second, third], await cluster.OneSilo.ListAsync(user));

        Assert.Equal(OperationOutcome.Done, await Second.CancelAsync(null));
        Assert.Equal([first, third], await cluster.OtherSilo.ListAsync(user));
    }

    private async Task CreateBothAsync()
    {
        await cluster.OneSilo.CreateAsync(user, first);
        await cluster.OneSilo.CreateAsync(user, second);
    }
}
