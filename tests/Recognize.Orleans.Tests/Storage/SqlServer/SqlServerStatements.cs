using System.Globalization;
using System.Text;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Orleans.Configuration;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;

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
        using var reader = new RowReader(rows, new StorageFaults(database, TimeProvider.System, NullLogger<StorageFaults>.Instance), new());
        var history = new OperationHistory(database, reader, Options.Create(new ClusterOptions { ServiceId = "recognize" }), NullLogger<OperationHistory>.Instance);
        (string Call, Func<Task> Send)[] calls =
        [
            .. sizes.SelectMany(size => new (string, Func<Task>)[]
            {
                ($"Write, {size}", () => rows.WriteAsync([.. Enumerable.Range(1, size).Select(WriteOf)], DateTime.MaxValue, CancellationToken.None)),
                ($"Read, {size}", () => rows.ReadAsync([.. Enumerable.Range(1, size).Select(number => new ReadItem<RowKey, StoredRow?>(RowOf(number), () => null))], CancellationToken.None)),
                ($"Read what is pending, {size}", () => rows.ReadRangesAsync(RangesOf(RowIndex.Pending, size), CancellationToken.None)),
                ($"Read keys of what is pending, {size}", () => rows.ReadRangesAsync(RangesOf(RowIndex.PendingKeys, size), CancellationToken.None)),
                ($"Read histories, {size}", () => rows.ReadRangesAsync(RangesOf(RowIndex.History, size), CancellationToken.None)),
            }),
            ("Find places", () => history.KeysAsync("", 500, CancellationToken.None)),
            ("Find rows", () => history.RowsAsync("", OperationHistory.End, 10, CancellationToken.None)),
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

    private static ReadItem<RowRange, List<RangeRow>>[] RangesOf(RowIndex index, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => new ReadItem<RowRange, List<RangeRow>>(new(index, "acme/A1/", "acme/A1/~", 20), () => []))];

    private static Task<Exception?> Record(Func<Task> send) => Xunit.Record.ExceptionAsync(send)!;

    private static async Task ExecuteAsync(Database database, string text)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = text;
        await command.ExecuteNonQueryAsync();
    }
}
