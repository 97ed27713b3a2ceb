using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class KindsOnSqlite(SqliteCluster cluster) : KindTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class KindsOnPostgreSql(PostgreSqlCluster cluster) : KindTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class KindsOnSqlServer(SqlServerCluster cluster) : KindTests(cluster);

// Another feature may keep rows in the same table and fill the same index keys. Nothing takes them for operations.
public abstract class KindTests(ClusterFixture cluster)
{
    private readonly string user = Journey.NewUser();
    private readonly string id = Journey.NewId();

    // Before the operations, behind them, and around the prefix of their keys.
    [SkippableTheory]
    [InlineData("a/")]
    [InlineData("op-/")]
    [InlineData("opa/")]
    [InlineData("z/")]
    public async Task Rows_of_another_kind_are_not_counted_listed_shown_or_removed(string kind)
    {
        var counted = await CountAsync();
        var pending = OperationState.Create(new(Journey.Customer, user), Journey.RequestOf(id), 7, "node-9", cluster.Clock.GetUtcNow());
        var ended = pending.Cancel(null, cluster.Clock.GetUtcNow()).Next;
        var key = pending.Keys.Owner![OperationState.Kind.Length..];
        await WriteAsync("pending", pending with { Keys = new(kind + key, kind + key, kind + key) });
        await WriteAsync("ended", ended with { Keys = new(kind + key, Due: kind + key) });
        await WriteAsync("removed", ended.Remove(cluster.Clock.GetUtcNow()) with { Keys = new($"{kind}~/{key}") });

        Assert.Equal(counted, await CountAsync());
        Assert.Empty(await cluster.OneSilo.ListAsync(user));
        Assert.Empty((await cluster.OneSilo.GetUser(new(Journey.Customer, user)).ListHistoryAsync(null, null, 100)).Operations);
        Assert.DoesNotContain(await cluster.TestDatabase.QueryAsync("SELECT UserId FROM RecognizeOperations"), row => (string?)row["UserId"] == user);

        cluster.Clock.Advance(ClusterFixture.Kept.Operations + ClusterFixture.Kept.Tombstones);
        await cluster.SweepAsync();
        await cluster.SweepAsync();

        var versions = await cluster.TestDatabase.VersionsAsync();
        Assert.Equal((1, 1, 1), (VersionOf("pending"), VersionOf("ended"), VersionOf("removed")));

        int VersionOf(string name) => versions.GetValueOrDefault($"op/{Journey.Customer}/{id}-{name}/");
    }

    private Task WriteAsync(string name, OperationState state) =>
        cluster.RewriteAsync<OperationState>(cluster.OneSilo.GetOperation(new(Journey.Customer, $"{id}-{name}")), OperationState.Name, _ => state);

    private Task<long> CountAsync() =>
        cluster.Cluster.Silos[0].SiloHost.Services.GetRequiredService<OperationHistory>().CountPendingAsync(CancellationToken.None);
}
