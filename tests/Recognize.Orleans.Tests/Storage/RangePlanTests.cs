using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage.PostgreSql;
using Recognize.Orleans.Storage.Sqlite;
using Xunit;

namespace Recognize.Orleans.Storage;

// What a range costs does not depend on how many rows there are: its index is read from the range's bound on, in its order, and no row
// beyond the count is looked at. Where only keys are asked for, the index has all of them.
public sealed class RangePlanTests
{
    // Of one owner, among others with one row each.
    private const int Rows = 5_000;
    private const int Count = 20;

    [Theory]
    [InlineData(RowIndex.Owner, RowPart.Payload, true, "INDEX")]
    [InlineData(RowIndex.Owner, RowPart.GrainKey, false, "INDEX")]
    [InlineData(RowIndex.Owner, RowPart.None, false, "COVERING INDEX")]
    [InlineData(RowIndex.Open, RowPart.Payload, false, "INDEX")]
    [InlineData(RowIndex.Open, RowPart.None, false, "COVERING INDEX")]
    [InlineData(RowIndex.Due, RowPart.Payload, false, "INDEX")]
    internal async Task Sqlite_reads_a_range_from_its_index_in_its_order(RowIndex index, RowPart part, bool descending, string read)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await database.ExecuteAsync($"""
            WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {Rows})
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, OwnerKey, OpenKey, DueKey)
            SELECT n, 0, 0, 1, 'operation', 'op/acme/' || n, 'recognize', randomblob(200), '', 1, place, place, place
            FROM
            (
                SELECT n, 'kind/' || owner || '/' || printf('%016d', n) AS place
                FROM (SELECT n, 'A1' AS owner FROM numbers UNION ALL SELECT n + {Rows}, printf('B%d', n) FROM numbers)
            );
            ANALYZE;
            """);

        var plan = await database.QueryAsync("EXPLAIN QUERY PLAN " + SqliteRowStore.RangeText(new(index, part, descending))
            .Replace("@service", "'recognize'", StringComparison.Ordinal)
            .Replace("@after", "'kind/A1/'", StringComparison.Ordinal)
            .Replace("@before", "'kind/A1/~'", StringComparison.Ordinal)
            .Replace("@count", $"{Count}", StringComparison.Ordinal));

        // One step: a second one would be a sort ("USE TEMP B-TREE FOR ORDER BY"), and a full scan is no SEARCH.
        Assert.Equal($"SEARCH OrleansStorage USING {read} IX_OrleansStorage_{index} (ServiceId=? AND {index}Key>? AND {index}Key<?)", Assert.Single(plan)["detail"]);
    }

    // With the settings of group commit's sessions, whose one plan may be made while the table is empty or when it is full.
    [SkippableTheory]
    [InlineData(RowIndex.Owner, RowPart.Payload, true, "Index Scan Backward", 0)]
    [InlineData(RowIndex.Owner, RowPart.Payload, true, "Index Scan Backward", Rows)]
    [InlineData(RowIndex.Owner, RowPart.GrainKey, false, "Index Scan", Rows)]
    [InlineData(RowIndex.Owner, RowPart.None, false, "Index Only Scan", Rows)]
    [InlineData(RowIndex.Open, RowPart.Payload, false, "Index Scan", 0)]
    [InlineData(RowIndex.Open, RowPart.Payload, false, "Index Scan", Rows)]
    [InlineData(RowIndex.Open, RowPart.None, false, "Index Only Scan", 0)]
    [InlineData(RowIndex.Open, RowPart.None, false, "Index Only Scan", Rows)]
    [InlineData(RowIndex.Due, RowPart.Payload, false, "Index Scan", Rows)]
    internal async Task PostgreSql_reads_a_range_from_its_index_in_its_order_and_no_more_rows_than_it_has(RowIndex index, RowPart part, bool descending, string read, int rows)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        await database.ExecuteAsync($"""
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, OwnerKey, OpenKey, DueKey)
            SELECT n, 0, 0, 1, 'operation', 'op/acme/' || n, 'recognize', convert_to(repeat('x', 200), 'UTF8'), now(), 1, place, place, place
            FROM
            (
                SELECT n, 'kind/' || CASE WHEN n <= {rows} THEN 'A1' ELSE 'B' || n END || '/' || lpad(n::text, 16, '0') AS place
                FROM generate_series(1, 2 * {rows}) AS n
            ) AS placed;
            """);
        await database.ExecuteAsync("VACUUM ANALYZE OrleansStorage");

        var plan = await database.QueryAsync($"""
            {PostgreSqlRowStore.Session};
            PREPARE range (text, text[], text[], int[]) AS {PostgreSqlRowStore.RangeText(new(index, part, descending))};
            EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF, BUFFERS OFF) EXECUTE range ('recognize', ARRAY['kind/A1/'], ARRAY['kind/A1/~'], ARRAY[{Count}])
            """);

        var steps = plan.Select(step => ((string)step["QUERY PLAN"]!).ToLowerInvariant()).ToList();
        var scan = steps.FindIndex(step => step.Contains($"{read} using IX_OrleansStorage_{index} on orleansstorage s".ToLowerInvariant(), StringComparison.Ordinal));
        Assert.Matches($@"\(actual rows={Math.Min(rows, Count)}(\.00)? loops=1\)$", steps[scan]);
        Assert.Matches($@"^ +index cond: \(.*serviceid.* = .* and .*{index}key.* > .* and .*{index}key.* < .*\)$".ToLowerInvariant(), steps[scan + 1]);
        Assert.DoesNotContain(steps, step => step.Contains("filter", StringComparison.Ordinal) || step.Contains("sort", StringComparison.Ordinal) || step.Contains("seq scan", StringComparison.Ordinal));
    }
}
