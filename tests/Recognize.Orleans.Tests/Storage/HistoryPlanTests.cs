using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Storage;

// What a page of the history costs does not depend on how long the history is, nor on how many users there are: the index is read from
// the page's place on, in its order, and no row beyond the page's is looked at.
public sealed class HistoryPlanTests
{
    private const string Index = "IX_OrleansStorage_History";

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

        foreach (var query in OperationHistory.QueriesOf(StorageEngine.Sqlite))
        {
            var plan = await PlanAsync(database, $"EXPLAIN QUERY PLAN {query}", "detail");

            // One step: a second one would be a sort ("USE TEMP B-TREE FOR ORDER BY"), and a full scan is no SEARCH.
            Assert.Matches($@"^SEARCH OrleansStorage USING (COVERING )?INDEX {Index} \(ServiceId=\? AND HistoryKey>\? AND HistoryKey<\?\)$", Assert.Single(plan));
        }
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

        foreach (var query in OperationHistory.QueriesOf(StorageEngine.PostgreSql))
        {
            var plan = await PlanAsync(database, $"EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, BUFFERS OFF) {query}", "QUERY PLAN");

            Assert.Matches(@"^Limit \(actual rows=20(\.00)? loops=1\)$", plan[0]);
            Assert.Matches($@"^  ->  Index (Only )?Scan (Backward )?using {Index} on orleansstorage \(actual rows=20(\.00)? loops=1\)$".ToLowerInvariant(), plan[1].ToLowerInvariant());
            Assert.Matches(@"^ +Index Cond: \(.*serviceid.* = .* AND .*historykey.* > .* AND .*historykey.* < .*\)$", plan[2]);
            Assert.DoesNotContain(plan, step => step.Contains("Filter", StringComparison.Ordinal) || step.Contains("Sort", StringComparison.Ordinal));
        }
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
