using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection(nameof(SqliteCluster))]
public sealed class NumbersOnSqlite(SqliteCluster cluster) : NumberTests(cluster);

[Collection(nameof(PostgreSqlCluster))]
public sealed class NumbersOnPostgreSql(PostgreSqlCluster cluster) : NumberTests(cluster);

[Collection(nameof(SqlServerCluster))]
public sealed class NumbersOnSqlServer(SqlServerCluster cluster) : NumberTests(cluster);

public abstract class NumberTests(ClusterFixture cluster)
{
    private INumbersGrain Counter => cluster.OneSilo.GetGrain<INumbersGrain>("numbers/operations/");

    [SkippableFact]
    public async Task Numbers_are_positive_and_different_on_all_silos_and_after_every_restart()
    {
        var numbers = new List<long>();
        await InOrder.RepeatAsync(3, async () =>
        {
            var silos = new[] { cluster.NewNumbers(0), cluster.NewNumbers(1) };
            numbers.AddRange(await Task.WhenAll(silos.SelectMany(silo => Enumerable.Range(0, 1_500).Select(_ => Task.Run(async () => await silo.NextAsync())))));
            await cluster.DeactivateAsync(Counter);
        });

        Assert.Equal(9_000, numbers.Distinct().Count());
        Assert.All(numbers, number => Assert.InRange(number, 1, 9_007_199_254_740_991));
    }

    [SkippableTheory]
    [InlineData(FailedWrite.BeforeItsCommit)]
    [InlineData(FailedWrite.AfterItsCommit)]
    public async Task A_failed_lease_is_told_to_its_caller_and_repeats_no_number(FailedWrite moment)
    {
        var before = await cluster.NewNumbers(0).NextAsync();
        var numbers = cluster.NewNumbers(1);
        cluster.Storage.FailNextWrite(Counter, moment);

        await Assert.ThrowsAnyAsync<Exception>(async () => await numbers.NextAsync());

        var after = await numbers.NextAsync();
        var others = await cluster.NewNumbers(0).NextAsync();
        Assert.Equal([before, after, others], new[] { before, after, others }.Order().Distinct());
    }

    [SkippableFact]
    public async Task A_lease_that_another_activation_took_first_is_not_taken_twice()
    {
        var before = await cluster.NewNumbers(0).NextAsync();
        var row = new GrainState<NumbersState>(new());
        await cluster.RealStorage.ReadStateAsync("numbers", Counter.GetGrainId(), row);
        var theirs = row.State!.Next;
        row.State = row.State with { Next = theirs + 1_000 };
        await cluster.RealStorage.WriteStateAsync("numbers", Counter.GetGrainId(), row);

        var numbers = cluster.NewNumbers(0);
        await Assert.ThrowsAnyAsync<Exception>(async () => await numbers.NextAsync());

        Assert.Equal(theirs + 1_000, await numbers.NextAsync());
        Assert.True(before < theirs);
    }
}
