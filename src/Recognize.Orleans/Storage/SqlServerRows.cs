using System.Data;
using System.Data.Common;
using System.Text;
using System.Text.Json;
using Microsoft.Data.SqlClient;

namespace Recognize.Orleans.Storage;

/// <summary>Groups on SQL Server: one batch over a JSON array, one round trip, one commit. Plain T-SQL without lock hints.</summary>
internal sealed class SqlServerRows(DbDataSource dataSource, string serviceId, SiloIdentity? silo) : IRows
{
    private const int Overtaken = 50_001;
    private const int DuplicateIndexKey = 2_601;
    private const int DuplicateKey = 2_627;
    private const int Deadlock = 1_205;

    // Longer than a write may wait to begin (five seconds). Shorter would fail groups on a busy database.
    private const int PatienceSeconds = 10;

    private const string Row = "s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service";
    private const string Text = "COLLATE Latin1_General_100_BIN2";

    // Looks first, so that each item has its own fate. A writer on another silo that comes in between makes an insert break the
    // unique index or an update miss its row; the whole batch is then taken back. The state is ASCII, so that VARCHAR holds
    // it byte by byte. The fence comes first: a batch that was held up on its way, and one of a silo that was voted dead, write nothing.
    // What a lock holds up is late too.
    internal const string WriteText = $"""
        SET NOCOUNT ON;
        SET XACT_ABORT ON;
        SET LOCK_TIMEOUT 2000;
        DECLARE @changed INT;
        DECLARE @fence INT;
        DECLARE @rows TABLE
        (
            Item INT NOT NULL PRIMARY KEY, Fate INT NOT NULL,
            KeyHash INT NOT NULL, TypeHash INT NOT NULL, Type NVARCHAR(150) {Text} NOT NULL, [Key] NVARCHAR(512) {Text} NOT NULL, Payload VARBINARY(MAX) NULL, Version INT NULL, Next INT NOT NULL,
            History VARCHAR(220) {Text} NULL, Pending VARCHAR(220) {Text} NULL
        );
        SET @fence = CASE
            WHEN SYSUTCDATETIME() >= @until THEN 3
            WHEN @address IS NOT NULL AND NOT EXISTS
            (
                SELECT 1 FROM OrleansMembershipTable AS member JOIN RecognizeCluster AS cluster ON cluster.ServiceId = @service AND cluster.ClusterId = member.DeploymentId
                WHERE member.DeploymentId = @cluster AND member.Address = @address AND member.Port = @port AND member.Generation = @generation AND member.Status <> 6
            ) THEN 4
            ELSE 1 END;
        INSERT INTO @rows
        SELECT Item, @fence, KeyHash, TypeHash, Type, [Key], CONVERT(VARBINARY(MAX), CONVERT(VARCHAR(MAX), Payload)), Version, Next, History, Pending
        FROM OPENJSON(@items) WITH
        (
            Item INT '$.i',
            KeyHash INT '$.h', TypeHash INT '$.g', Type NVARCHAR(150) '$.t', [Key] NVARCHAR(512) '$.k', Payload NVARCHAR(MAX) '$.p', Version INT '$.v', Next INT '$.n',
            History VARCHAR(220) '$.l', Pending VARCHAR(220) '$.w'
        );
        BEGIN TRANSACTION;
        UPDATE r SET Fate = 2
            FROM @rows r LEFT JOIN OrleansStorage s ON {Row}
            WHERE r.Outcome = 1 AND COALESCE(s.Version, -1) <> COALESCE(r.Version, -1);
        INSERT INTO OrleansStorage
            (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey, PendingKey)
            SELECT KeyHash, 0, 0, TypeHash, Type, [Key], @service, Payload, SYSUTCDATETIME(), Next, History, Pending FROM @rows WHERE Fate = 1 AND Version IS NULL;
        UPDATE s SET PayloadBinary = r.Payload, ModifiedOn = SYSUTCDATETIME(), Version = r.Next, HistoryKey = COALESCE(r.History, s.HistoryKey), PendingKey = r.Pending
            FROM OrleansStorage s JOIN @rows r ON {Row} AND s.Version = r.Version WHERE r.Outcome = 1 AND r.Payload IS NOT NULL;
        SET @changed = @@ROWCOUNT;
        DELETE s
            FROM OrleansStorage s JOIN @rows r ON {Row} AND s.Version = r.Version WHERE r.Outcome = 1 AND r.Payload IS NULL;
        SET @changed = @changed + @@ROWCOUNT;
        IF @changed <> (SELECT COUNT(Version) FROM @rows WHERE Fate = 1) THROW 50001, N'Another writer was faster.', 1;
        IF @fence = 1 AND SYSUTCDATETIME() >= @until THROW 50002, N'The batch was held up for too long.', 1;
        COMMIT TRANSACTION;
        SELECT Item, Fate FROM @rows;
        """;

    internal const string ReadText = $"""
        SELECT r.Item, s.PayloadBinary, s.Version
        FROM OPENJSON(@items) WITH
            (Item INT '$.i', KeyHash INT '$.h', TypeHash INT '$.g', Type NVARCHAR(150) {Text} '$.t', [Key] NVARCHAR(512) {Text} '$.k') r
            JOIN OrleansStorage s ON {Row};
        """;

    internal static readonly string PendingText = RangesText("PendingKey", "ASC");

    internal static readonly string HistoryText = RangesText("HistoryKey", "DESC");

    public async Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken)
    {
        try
        {
            await RunAsync(
                WriteText,
                [
                    new("@until", SqlDbType.DateTime2) { Value = until },
                    new("@cluster", SqlDbType.NVarChar, 150) { Value = (object?)silo?.ClusterId ?? DBNull.Value },
                    new("@address", SqlDbType.VarChar, 45) { Value = (object?)silo?.Address ?? DBNull.Value },
                    new("@port", SqlDbType.Int) { Value = (object?)silo?.Port ?? DBNull.Value },
                    new("@generation", SqlDbType.Int) { Value = (object?)silo?.Generation ?? DBNull.Value },
                    Items(group, (json, item) => Write(json, item.Write)),
                ],
                row => group[row.GetInt32(0)].Outcome = (WriteOutcome)row.GetInt32(1),
                cancellationToken);
        }
        catch (SqlException fault) when (IsOfTheBatch(fault))
        {
            throw new GroupRefusedException(fault, overtaken: fault.Number is Overtaken or DuplicateIndexKey or DuplicateKey or Deadlock);
        }
    }

    public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken) => ReadAsync(
        ReadText,
        Items(group, (json, item) => Write(json, item.Question)),
        row => group[row.GetInt32(0)].Answer = new(row.IsDBNull(1) ? null : row.GetFieldValue<byte[]>(1), row.GetInt32(2)),
        cancellationToken);

    public async Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken)
    {
        foreach (var ranges in group.GroupBy(item => item.Question.Index).Select(ranges => ranges.ToArray()))
        {
            await ReadAsync(
                ranges[0].Question.Index is RowIndex.Pending ? PendingText : HistoryText,
                Items(ranges, (json, item) => Write(json, item.Question)),
                row => ranges[row.GetInt32(0)].Answer.Add(new(row.GetString(1), row.IsDBNull(2) ? null : row.GetFieldValue<byte[]>(2))),
                cancellationToken);
        }
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static string RangesText(string key, string order) => $"""
        SELECT r.Item, found.Place, found.PayloadBinary
        FROM OPENJSON(@items) WITH
            (Item INT '$.i', [After] VARCHAR(220) {Text} '$.a', [Before] VARCHAR(220) {Text} '$.b', Most INT '$.c') r
            CROSS APPLY
            (
                SELECT TOP (r.Most) s.{key} AS Place, s.PayloadBinary FROM OrleansStorage s
                WHERE s.ServiceId = @service AND s.{key} > r.[After] AND s.{key} < r.[Before] ORDER BY s.{key} {order}
            ) found
        ORDER BY r.Item, found.Place {order};
        """;

    private static SqlParameter Items<TItem>(IReadOnlyList<TItem> group, Action<Utf8JsonWriter, TItem> write)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartArray();
            for (var i = 0; i < group.Count; i++)
            {
                json.WriteStartObject();
                json.WriteNumber("i", i);
                write(json, group[i]);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        return new("@items", SqlDbType.NVarChar, -1) { Value = Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length) };
    }

    private static void Write(Utf8JsonWriter json, RowKey row)
    {
        json.WriteNumber("h", row.KeyHash);
        json.WriteNumber("g", row.TypeHash);
        json.WriteString("t", row.Type);
        json.WriteString("k", row.Key);
    }

    private static void Write(Utf8JsonWriter json, RowRange range)
    {
        json.WriteString("a", range.After);
        json.WriteString("b", range.Before);
        json.WriteNumber("c", range.Count);
    }

    private static void Write(Utf8JsonWriter json, RowWrite write)
    {
        Write(json, write.Row);
        json.WriteNumber("n", write.Next);
        if (write.Payload is { } bytes)
        {
            json.WriteString("p", bytes);
        }

        if (write.Version is { } number)
        {
            json.WriteNumber("v", number);
        }

        if (write.Keys.History is { } history)
        {
            json.WriteString("l", history);
        }

        if (write.Keys.Pending is { } pending)
        {
            json.WriteString("w", pending);
        }
    }

    private async Task ReadAsync(string text, SqlParameter items, Action<DbDataReader> read, CancellationToken cancellationToken)
    {
        try
        {
            await RunAsync(text, [items], read, cancellationToken);
        }
        catch (SqlException fault) when (IsOfTheBatch(fault))
        {
            throw new GroupRefusedException(fault);
        }
    }

    // An error of the batch itself, which XACT_ABORT takes back before the server answers. From class 17 on the server is in
    // trouble and may have committed, and a negative number is the client's own, a time-out for example.
    private static bool IsOfTheBatch(SqlException fault) => fault.Number is Deadlock or DuplicateIndexKey or DuplicateKey || (fault.Class is 16 && fault.Number > 0);

    private async Task RunAsync(string text, IEnumerable<SqlParameter> parameters, Action<DbDataReader> read, CancellationToken cancellationToken)
    {
        await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = text;
        command.CommandTimeout = PatienceSeconds;
        command.Parameters.Add(new SqlParameter("@service", SqlDbType.NVarChar, 150) { Value = serviceId });
        foreach (var parameter in parameters)
        {
            command.Parameters.Add(parameter);
        }

        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            read(reader);
        }
    }
}
