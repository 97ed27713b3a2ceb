using Microsoft.Extensions.DependencyInjection;
using Orleans.Core.Internal;
using Orleans.Runtime.Placement;
using Orleans.Storage;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteMixedCluster))]
public sealed class MixedStorageOnSqlite(SqliteMixedCluster cluster) : MixedStorageTests(cluster);

[Collection(nameof(PostgreSqlMixedCluster))]
public sealed class MixedStorageOnPostgreSql(PostgreSqlMixedCluster cluster) : MixedStorageTests(cluster);

[Collection(nameof(SqlServerMixedCluster))]
public sealed class MixedStorageOnSqlServer(SqlServerMixedCluster cluster) : MixedStorageTests(cluster);

// One silo writes in groups, the other each row by itself, and a grain is on either. Together they are one service.
public abstract class MixedStorageTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string otherUser = Journey.NewUser();
    private readonly string first = Journey.NewId();
    private readonly string second = Journey.NewId();

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task What_either_silo_creates_for_a_user_is_on_the_list_and_in_the_history_of_both(int holder)
    {
        await PlaceAsync(user, holder);

        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, first));
        cluster.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, second));

        await ShouldListAsync(user, first, second);
        Assert.Equal([second, first], await HistoryAsync(cluster.OneSilo, user));
        Assert.Equal([second, first], await HistoryAsync(cluster.OtherSilo, user));
    }

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task An_id_that_a_silo_has_used_is_refused_by_the_other_for_any_user_and_leaves_no_trace(int holder)
    {
        await PlaceAsync(user, holder);
        await PlaceAsync(otherUser, 1 - holder);
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, first));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(otherUser, second));

        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(otherUser, first));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OneSilo.CreateAsync(user, second));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OtherSilo.CreateAsync(user, first));
        Assert.Equal(OperationOutcome.Duplicate, await cluster.OneSilo.CreateAsync(otherUser, second));

        await ShouldListAsync(user, first);
        await ShouldListAsync(otherUser, second);
        Assert.Equal([first], await HistoryAsync(cluster.OtherSilo, user));
        Assert.Equal([second], await HistoryAsync(cluster.OneSilo, otherUser));
    }

    [SkippableFact]
    public async Task Of_many_creates_of_one_id_at_once_for_users_on_both_silos_one_is_done()
    {
        await PlaceAsync(user, 0);
        await PlaceAsync(otherUser, 1);

        var ids = Enumerable.Range(0, 12).Select(_ => Journey.NewId()).ToList();
        var outcomes = await Task.WhenAll(ids.SelectMany(id => new[]
        {
            CreateAsync(cluster.OneSilo, user, id),
            CreateAsync(cluster.OtherSilo, otherUser, id),
            CreateAsync(cluster.OtherSilo, user, id),
            CreateAsync(cluster.OneSilo, otherUser, id),
        }));

        var done = outcomes.Where(one => one.Outcome is OperationOutcome.Done).ToList();
        Assert.Equal(ids.Order(), done.Select(one => one.Id).Order());
        Assert.All(outcomes.Except(done), one => Assert.Equal(OperationOutcome.Duplicate, one.Outcome));
        await Assert.AllAsync([user, otherUser], async owner =>
        {
            var mine = done.Where(one => one.User == owner).Select(one => one.Id).Order().ToList();
            Assert.Equal(mine, (await cluster.OneSilo.ListAsync(owner)).Order());
            Assert.Equal(mine, (await HistoryAsync(cluster.OtherSilo, owner)).Order());
        });
    }

    [SkippableTheory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_silo_goes_on_with_the_rows_that_the_other_wrote(int holder)
    {
        await PlaceAsync(user, holder);
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, first));
        await cluster.DeactivateAsync(cluster.OneSilo.GetOperation(new(Journey.Customer, first)));

        await PlaceAsync(user, 1 - holder);
        cluster.Clock.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.CreateAsync(user, second));
        await ShouldListAsync(user, first, second);

        // Whoever is asked first holds an operation.
        Assert.Equal(OperationOutcome.Done, await cluster.OtherSilo.DecideAsync(user, first));
        await cluster.DeactivateAsync(cluster.OneSilo.GetUser(new(Journey.Customer, user)), cluster.OneSilo.GetOperation(new(Journey.Customer, first)));
        Assert.Equal(OperationStatus.Approved, (await cluster.OneSilo.ReadAsync(first))!.Status);
        Assert.Equal(OperationOutcome.AlreadyDecided, await cluster.OneSilo.DecideAsync(user, first, Verdict.Deny));
        await ShouldListAsync(user, second);
        Assert.Equal([second, first], await HistoryAsync(cluster.OneSilo, user));
    }

    [SkippableFact]
    public async Task An_operation_that_exists_is_not_written_over_by_a_create_that_began_before_it()
    {
        await PlaceAsync(user, 0);
        await PlaceAsync(otherUser, 1);
        using var held = cluster.Storage.HoldNextWrite(cluster.OneSilo.GetOperation(new(Journey.Customer, first)));
        var late = cluster.OtherSilo.CreateAsync(otherUser, first);
        await held.Reached;
        Assert.Equal(OperationOutcome.Done, await cluster.OneSilo.CreateAsync(user, first));

        // It is asked meanwhile, and so reads what the other silo wrote.
        Assert.Equal(user, (await cluster.OneSilo.ReadAsync(first))!.UserId);
        held.Dispose();

        Assert.Equal(OperationOutcome.Duplicate, await late);
        Assert.Equal(user, (await cluster.OtherSilo.ReadAsync(first))!.UserId);
        await ShouldListAsync(user, first);
        await ShouldListAsync(otherUser);
    }

    // Makes the user's grain live on one silo, and so what it creates be written by that one's storage.
    private async Task PlaceAsync(string userId, int silo)
    {
        var services = cluster.Cluster.Silos[silo].SiloHost.Services;
        var storage = (TroubledStorage)services.GetRequiredKeyedService<IGrainStorage>("Default");
        Assert.Equal(silo == 0, storage.Real is GroupCommitStorage);

        var grain = cluster.OneSilo.GetUser(new(Journey.Customer, userId));
        RequestContext.Set(IPlacementDirector.PlacementHintKey, cluster.Cluster.Silos[silo].SiloAddress);
        await grain.AsReference<IGrainManagementExtension>().MigrateOnIdle();
        RequestContext.Clear();
        await services.GetRequiredService<IGrainFactory>().KeepAsync(grain);
        Assert.Contains(
            await cluster.OneSilo.GetGrain<IManagementGrain>(0).GetDetailedGrainStatistics(),
            one => one.GrainId == grain.GetGrainId() && one.SiloAddress.Equals(cluster.Cluster.Silos[silo].SiloAddress));
    }

    // Which of two silos writes a row first is for the database to say; a front end asks again for the one that was late.
    private static async Task<(string User, string Id, OperationOutcome Outcome)> CreateAsync(IGrainFactory silo, string userId, string id)
    {
        var attempt = Journey.NewId();
        return (userId, id, await GrainRetry.CallAsync(TimeProvider.System, () => silo.CreateAsync(userId, id, attempt)));
    }

    private async Task ShouldListAsync(string userId, params string[] ids)
    {
        Assert.Equal(ids, await cluster.OneSilo.ListAsync(userId));
        Assert.Equal(ids, await cluster.OtherSilo.ListAsync(userId));
    }

    private static async Task<IEnumerable<string>> HistoryAsync(IGrainFactory silo, string userId) =>
        (await silo.GetUser(new(Journey.Customer, userId)).ListHistoryAsync(null, null, 100)).Operations.Select(operation => operation.OperationId);
}
