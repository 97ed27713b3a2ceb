using System.Reflection;
using Recognize.Orleans.Documents;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Foundation;

// Each of these times was chosen with another in mind. Whoever changes one finds here what else it holds up.
public sealed class TimesTests
{
    private static readonly TimeSpan Margin = TimeSpan.FromSeconds(1);

    [Fact]
    public void Memory_is_not_told_longer_than_the_design_promises() =>
        Assert.Equal(TimeSpan.FromSeconds(5), Times.CacheLifetime);

    [Fact]
    public void A_database_that_answers_is_never_taken_for_silent() =>
        Assert.True(Times.DatabaseCheck + Times.LongestDatabaseCheck <= Times.LongestDatabaseSilence);

    [Fact]
    public void A_process_that_was_frozen_asks_before_what_it_remembers_is_too_old() =>
        Assert.True(Times.LongestDatabaseSilence < Times.CacheLifetime);

    [Fact]
    public void A_statement_is_given_up_when_the_database_may_not_begin_with_it_any_more() =>
        Assert.Equal(Times.StatementLife, TimeSpan.FromSeconds(Times.StatementSeconds));

    [Fact]
    public void The_outcome_of_a_write_is_unknown_for_longer_than_its_statement_can_begin() =>
        Assert.True(Times.UnknownOutcome >= Times.StatementLife + Margin);

    [Fact]
    public void A_write_that_was_announced_is_over_when_its_announcement_is_forgotten() =>
        Assert.True(Times.LongestWrite >= Times.LongestInQueue + Times.StatementLife + Times.UnknownOutcome + Margin);

    [Fact]
    public void A_write_leaves_the_queue_no_later_than_its_caller_gives_up() =>
        Assert.True(Times.LongestInQueue <= Times.ResponseTimeout);

    [Fact]
    public void Retries_outlast_the_change_of_a_silo_and_end_before_Orleans_gives_up() =>
        Assert.InRange(Times.Retries, TimeSpan.FromSeconds(4), Times.ResponseTimeout);

    [Fact]
    public void An_end_is_asked_of_its_grain_for_longer_than_a_list_is_told_from_memory() =>
        Assert.True(OperationTimes.RecentEnd > Times.CacheLifetime + Times.UnknownOutcome);

    [Fact]
    public void Nothing_is_removed_while_a_grain_answers_for_it_from_memory() =>
        Assert.True(RetentionSettings.Shortest > OperationTimes.Replay + Times.LongestWrite);

    [Fact]
    public void A_cluster_misses_several_signs_of_life_before_its_service_is_taken_over() =>
        Assert.Equal(3 * Times.SignOfLife, Times.ClusterClaim);

    [Fact]
    public void Every_time_has_a_rule()
    {
        var rules = File.ReadAllText(Repository.PathOf("tests/Recognize.Orleans.Tests/Foundation/TimesTests.cs"));
        var times = from type in typeof(Times).Assembly.GetTypes()
                    where type.Name.EndsWith("Times", StringComparison.Ordinal)
                    from time in type.GetFields(BindingFlags.Static | BindingFlags.Public)
                    select $"{type.Name}.{time.Name}";

        Assert.DoesNotContain(times, time => !rules.Contains(time, StringComparison.Ordinal));
    }
}
