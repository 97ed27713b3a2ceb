using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Storage;

// What a page of the history costs does not depend on how long the history is, nor on how many users there are: the index is read from
// the page's place on, in its order, and no row beyond the page's is looked at. Nor does what a user's list costs depend on anything but
// how many operations are pending for the user.
public sealed class HistoryPlanTests
{
    private const string Index = "IX_OrleansStorage_History";
    private const string PendingIndex = "IX_OrleansStorage_Pending";

    private const string Newest =
        "SELECT HistoryKey, PayloadBinary FROM OrleansStorage WHERE ServiceId = @service AND HistoryKey > @after AND HistoryKey < @before ORDER BY HistoryKey DESC LIMIT @count";

    private const string Pending =
        "SELECT PendingKey, PayloadBinary, Version, GrainIdExtensionString FROM OrleansStorage WHERE ServiceId = @service AND PendingKey > @after AND PendingKey < @before ORDER BY PendingKey";

    private const string PendingKeys = "SELECT PendingKey FROM OrleansStorage WHERE ServiceId = @service AND PendingKey > @after AND PendingKey < @before ORDER BY PendingKey";

    // One user with a long history among others with one operation each.
    private const int Rows = 5_000;

    [Fact]
    public async Task Sqlite_reads_pages_from_the_index_in_its_order()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await database.ExecuteAsync($"""
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {Rows})
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
            SELECT n, 0, 0, 1, 'operation', 'op/acme/' || n, 'recognize', randomblob(200), '', 1, 'acme/' || owner || '/2025-05-21T10:30:00.000Z/' || printf('%016d', n)
            FROM (SELECT n, 'A1' AS owner FROM numbers UNION ALL SELECT n + {Rows}, printf('B%d', n) FROM numbers);
            ANALYZE;
            """);

        await using var engine = database.Open();
        await Assert.AllAsync(OperationHistory.QueriesOf(engine).Append(Newest), async query =>
        {
            var plan = await PlanAsync(database, $"EXPLAIN QUERY PLAN {query}", "detail");

            // One step: a second one would be a sort ("USE TEMP B-TREE FOR ORDER BY"), and a full scan is no SEARCH.
            Assert.Matches($@"^SEARCH OrleansStorage USING (COVERING )?INDEX {Index} \(ServiceId=\? AND HistoryKey>\? AND HistoryKey<\?\)$", Assert.Single(plan));
        });
    }

    [SkippableFact]
    public async Task PostgreSql_reads_pages_from_the_index_in_its_order_and_no_more_rows_than_a_page_has()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await database.ExecuteAsync($"""
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
            SELECT n, 0, 0, 1, 'operation', 'op/acme/' || n, 'recognize', convert_to(repeat('x', 200), 'UTF8'), now(), 1,
                'acme/' || owner || '/2025-05-21T10:30:00.000Z/' || lpad(n::text, 16, '0')
            FROM
            (
                SELECT n, 'A1' AS owner FROM generate_series(1, {Rows}) AS n
                UNION ALL SELECT n, 'B' || n FROM generate_series({Rows} + 1, 2 * {Rows}) AS n
            ) AS operations;
            """);
        await database.ExecuteAsync("VACUUM ANALYZE OrleansStorage");

        await using var engine = database.Open();
        await Assert.AllAsync(OperationHistory.QueriesOf(engine).Append(Newest), async query =>
        {
            var plan = await PlanAsync(database, $"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) {query}", "QUERY PLAN");

            Assert.Matches(@"^Limit \(actual rows=20(\.00)? loops=1\)$", plan[0]);
            Assert.Matches($@"^  ->  Index (Only )?Scan (Backward )?using {Index} on orleansstorage \(actual rows=20(\.00)? loops=1\)$".ToLowerInvariant(), plan[1].ToLowerInvariant());
            Assert.Matches(@"^ +Index Cond: \(.*serviceid.* = .* AND .*historykey.* > .* AND .*historykey.* < .*\)$", plan[2]);
            Assert.DoesNotContain(plan, step => step.Contains("Filter", StringComparison.Ordinal) || step.Contains("Sort", StringComparison.Ordinal));
        });
    }

    [Fact]
    public async Task Sqlite_reads_what_is_pending_from_its_index_in_its_order()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);

        var rows = await PlanAsync(database, $"EXPLAIN QUERY PLAN {Pending}", "detail");
        var keys = await PlanAsync(database, $"EXPLAIN QUERY PLAN {PendingKeys}", "detail");

        Assert.Equal($"SEARCH OrleansStorage USING INDEX {PendingIndex} (ServiceId=? AND PendingKey>? AND PendingKey<?)", Assert.Single(rows));
        Assert.Equal($"SEARCH OrleansStorage USING COVERING INDEX {PendingIndex} (ServiceId=? AND PendingKey>? AND PendingKey<?)", Assert.Single(keys));
    }

    // With the settings of group commit's sessions, whose one plan may be made while the table is empty or when it is full.
    [SkippableTheory]
    [InlineData(Pending, "Index", 0)]
    [InlineData(Pending, "Index", Rows)]
    [InlineData(PendingKeys, "Index Only", 0)]
    [InlineData(PendingKeys, "Index Only", Rows)]
    public async Task PostgreSql_reads_what_is_pending_from_its_index_in_its_order(string query, string step, int ended)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await database.ExecuteAsync($"""
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey, PendingKey)
            SELECT n, 0, 0, 1, 'operation', 'op/acme/' || n, 'recognize', convert_to(repeat('x', 200), 'UTF8'), now(), 1, place, CASE WHEN n > {ended} THEN place END
            FROM
            (
                SELECT n, 'acme/' || CASE WHEN n % 2 = 0 THEN 'A1' ELSE 'B' || n END || '/2025-05-21T10:30:00.000Z/' || lpad(n::text, 16, '0') AS place
                FROM generate_series(1, {ended} + {ended} / 10) AS n
            ) AS operations;
            """);
        await database.ExecuteAsync("VACUUM ANALYZE OrleansStorage");

        var plan = await PlanAsync(
            database,
            $"""
            SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off;
            PREPARE pending (text, text, text) AS {query.Replace("@service", "$1", StringComparison.Ordinal).Replace("@after", "$2", StringComparison.Ordinal).Replace("@before", "$3", StringComparison.Ordinal)};
            EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) EXECUTE pending (@service, @after, @before)
            """,
            "QUERY PLAN");

        Assert.Matches($@"^{step} Scan using {PendingIndex} on orleansstorage \(actual rows={ended / 20}(\.00)? loops=1\)$".ToLowerInvariant(), plan[0].ToLowerInvariant());
        Assert.Matches(@"^ +Index Cond: \(.*serviceid.* = .* AND .*pendingkey.* > .* AND .*pendingkey.* < .*\)$", plan[1]);
        Assert.DoesNotContain(plan, one => one.Contains("Filter", StringComparison.Ordinal) || one.Contains("Sort", StringComparison.Ordinal));
    }

    private static async Task<IReadOnlyList<string>> PlanAsync(TestDatabase database, string query, string column)
    {
        var rows = await database.QueryAsync(query
            .Replace("@service", "'recognize'", StringComparison.Ordinal)
            .Replace("@after", "'acme/A1/'", StringComparison.Ordinal)
            .Replace("@before", "'acme/A1/~'", StringComparison.Ordinal)
            .Replace("@count", "20", StringComparison.Ordinal));
        return [.. rows.Select(row => (string)row[column]!)];
    }
}
