using System.Globalization;
using System.Text;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage.SqlServer;

/// <summary>Every statement that a silo sends to SQL Server by itself. Those that Orleans' providers send are in the scripts.</summary>
internal static class SqlServerStatements
{
    private static readonly SiloIdentity Silo = new("recognize", "10.0.0.11", 11_111, 7);

    /// <summary>Sends all of them to a server; groups have the given sizes.</summary>
    /// <returns>What the driver made of them, by the call that sent it.</returns>
    public static async Task<IReadOnlyList<(string Call, TdsStatement Sent)>> SendAsync(params int[] sizes)
    {
        await using var server = TdsServer.Start();
        await using var database = Database.Create(StorageEngine.SqlServer, server.ConnectionString);
        await using var rows = database.CreateRowStore("recognize", Silo, TimeProvider.System);
        (string Call, Func<Task> Send)[] calls =
        [
            .. sizes.SelectMany(size => new (string, Func<Task>)[]
            {
                ($"Write, {size}", () => rows.WriteAsync([.. Enumerable.Range(1, size).Select(WriteOf)], DateTime.MaxValue, CancellationToken.None)),
                ($"Read, {size}", () => rows.ReadAsync([.. Enumerable.Range(1, size).Select(number => new ReadItem<RowKey, StoredRow?>(RowOf(number), () => null))], CancellationToken.None)),
                ($"Read open rows, {size}", () => rows.ReadRangesAsync(RangesOf(new(RowIndex.Open), size), CancellationToken.None)),
                ($"Read the last rows of owners, {size}", () => rows.ReadRangesAsync(RangesOf(new(RowIndex.Owner, Descending: true), size), CancellationToken.None)),
            }),
            ("Read keys of open rows", () => rows.ReadRangesAsync(RangesOf(new(RowIndex.Open, RowPart.None), 1), CancellationToken.None)),
            ("Read grain keys of what is due", () => rows.ReadRangesAsync(RangesOf(new(RowIndex.Due, RowPart.GrainKey), 1), CancellationToken.None)),
            ("Count open rows", () => database.CountAsync("recognize", RowIndex.Open, "kind/", "kind/~", CancellationToken.None)),
            ("Read the clock", () => database.ReadClockAsync(CancellationToken.None)),
            ("Look", () => database.LookAsync("recognize", Silo, CancellationToken.None)),
            ("Claim", () => database.ClaimAsync("recognize", "recognize", CancellationToken.None)),
            ("Renew the claim", () => database.RenewClaimAsync("recognize", "recognize", DateTimeOffset.UnixEpoch, CancellationToken.None)),
            ("Hold sweeps", () => database.HoldSweepsAsync("recognize", DateTimeOffset.UnixEpoch, CancellationToken.None)),
            ("Check the database", () => database.AddServerErrorsAsync([], CancellationToken.None)),
            ("Check the schema", () => Schema.CheckAsync(database, CancellationToken.None)),
            ("Lock the schema", () => ExecuteAsync(database, database.LockSchemaText)),
            ("Unlock the schema", () => ExecuteAsync(database, database.UnlockSchemaText(applied: true))),
            ("Check the rights", () => database.MissingRightsAsync(CancellationToken.None)),
        ];
        var sent = new List<(string, TdsStatement)>();
        foreach (var (call, send) in calls)
        {
            var before = server.Statements.Count;

            // The server answers with no row, which some of them cannot do without.
            await Record(send);
            sent.AddRange(server.Statements.Skip(before).Select((statement, index) => (index == 0 ? call : $"{call}, {index + 1}", statement)));
        }

        return sent;
    }

    public static RowKey RowOf(int number) => new("operation", GrainId.Create("operation", string.Create(CultureInfo.InvariantCulture, $"op/acme/{number}/")));

    public static WriteItem WriteOf(int number) => new(new(RowOf(number), Encoding.UTF8.GetBytes("{}"), null, new("acme/A1/1", "acme/A1/1")), CancellationToken.None);

    private static ReadItem<RowRange, List<RangeRow>>[] RangesOf(RangeKind kind, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => new ReadItem<RowRange, List<RangeRow>>(new(kind, "acme/A1/", "acme/A1/~", 20), () => []))];

    private static Task<Exception?> Record(Func<Task> send) => Xunit.Record.ExceptionAsync(send)!;

    private static async Task ExecuteAsync(Database database, string text)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = text;
        await command.ExecuteNonQueryAsync();
    }
}
