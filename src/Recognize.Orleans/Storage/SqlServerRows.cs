using System.Data;
using System.Data.Common;
using System.Text;
using System.Text.Json;
using Microsoft.Data.SqlClient;

namespace Recognize.Orleans.Storage;

/// <summary>Groups on SQL Server: one batch over a JSON array, one round trip, one commit. Plain T-SQL without lock hints.</summary>
internal sealed class SqlServerRows(DbDataSource dataSource, string serviceId) : IRows
{
    private const int Overtaken = 50_001;
    private const int DuplicateIndexKey = 2_601;
    private const int DuplicateKey = 2_627;
    private const int Deadlock = 1_205;

    private const string Row1 = "s.GrainIdHash = r.KeyHash1 AND s.GrainTypeHash = r.TypeHash1 AND s.GrainIdExtensionString = r.Key1 AND s.GrainTypeString = r.Type1 AND s.ServiceId = @service";
    private const string Row2 = "s.GrainIdHash = r.KeyHash2 AND s.GrainTypeHash = r.TypeHash2 AND s.GrainIdExtensionString = r.Key2 AND s.GrainTypeString = r.Type2 AND s.ServiceId = @service";
    private const string Text = "COLLATE Latin1_General_100_BIN2";
    private const string RowColumns = "GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version";

    // Looks first, so that each item has its own fate. A writer on another silo that comes in between makes an insert break the
    // unique index or an update miss its row; the whole batch is then taken back. The state is ASCII, so that VARCHAR holds
    // it byte by byte.
    internal const string WriteText = $"""
        SET NOCOUNT ON;
        SET XACT_ABORT ON;
        DECLARE @changed INT;
        DECLARE @rows TABLE
        (
            Item INT NOT NULL PRIMARY KEY, Fate INT NOT NULL,
            KeyHash1 INT NOT NULL, TypeHash1 INT NOT NULL, Type1 NVARCHAR(150) {Text} NOT NULL, Key1 NVARCHAR(512) {Text} NOT NULL, Payload1 VARBINARY(MAX) NULL, Version1 INT NULL, Next1 INT NOT NULL, History1 VARCHAR(220) {Text} NULL,
            KeyHash2 INT NULL, TypeHash2 INT NULL, Type2 NVARCHAR(150) {Text} NULL, Key2 NVARCHAR(512) {Text} NULL, Payload2 VARBINARY(MAX) NULL, Version2 INT NULL, Next2 INT NULL
        );
        INSERT INTO @rows
        SELECT Item, 1,
            KeyHash1, TypeHash1, Type1, Key1, CONVERT(VARBINARY(MAX), CONVERT(VARCHAR(MAX), Payload1)), Version1, Next1, History1,
            KeyHash2, TypeHash2, Type2, Key2, CONVERT(VARBINARY(MAX), CONVERT(VARCHAR(MAX), Payload2)), Version2, Next2
        FROM OPENJSON(@items) WITH
        (
            Item INT '$.i',
            KeyHash1 INT '$.h1', TypeHash1 INT '$.g1', Type1 NVARCHAR(150) '$.t1', Key1 NVARCHAR(512) '$.k1', Payload1 NVARCHAR(MAX) '$.p1', Version1 INT '$.v1', Next1 INT '$.n1', History1 VARCHAR(220) '$.l1',
            KeyHash2 INT '$.h2', TypeHash2 INT '$.g2', Type2 NVARCHAR(150) '$.t2', Key2 NVARCHAR(512) '$.k2', Payload2 NVARCHAR(MAX) '$.p2', Version2 INT '$.v2', Next2 INT '$.n2'
        );
        BEGIN TRANSACTION;
        UPDATE r SET Fate = 3
            FROM @rows r LEFT JOIN OrleansStorage s ON {Row2}
            WHERE r.Key2 IS NOT NULL AND COALESCE(s.Version, -1) <> COALESCE(r.Version2, -1);
        UPDATE r SET Fate = 2
            FROM @rows r LEFT JOIN OrleansStorage s ON {Row1}
            WHERE COALESCE(s.Version, -1) <> COALESCE(r.Version1, -1);
        INSERT INTO OrleansStorage ({RowColumns}, HistoryKey)
            SELECT KeyHash1, 0, 0, TypeHash1, Type1, Key1, @service, Payload1, SYSUTCDATETIME(), Next1, History1 FROM @rows WHERE Fate = 1 AND Version1 IS NULL;
        INSERT INTO OrleansStorage ({RowColumns})
            SELECT KeyHash2, 0, 0, TypeHash2, Type2, Key2, @service, Payload2, SYSUTCDATETIME(), Next2 FROM @rows WHERE Fate = 1 AND Version2 IS NULL AND Key2 IS NOT NULL;
        UPDATE s SET PayloadBinary = r.Payload1, ModifiedOn = SYSUTCDATETIME(), Version = r.Next1, HistoryKey = COALESCE(r.History1, s.HistoryKey)
            FROM OrleansStorage s JOIN @rows r ON {Row1} AND s.Version = r.Version1 WHERE r.Fate = 1 AND r.Payload1 IS NOT NULL;
        SET @changed = @@ROWCOUNT;
        DELETE s
            FROM OrleansStorage s JOIN @rows r ON {Row1} AND s.Version = r.Version1 WHERE r.Fate = 1 AND r.Payload1 IS NULL;
        SET @changed = @changed + @@ROWCOUNT;
        UPDATE s SET PayloadBinary = r.Payload2, ModifiedOn = SYSUTCDATETIME(), Version = r.Next2
            FROM OrleansStorage s JOIN @rows r ON {Row2} AND s.Version = r.Version2 WHERE r.Fate = 1;
        SET @changed = @changed + @@ROWCOUNT;
        IF @changed <> (SELECT COUNT(Version1) + COUNT(Version2) FROM @rows WHERE Fate = 1) THROW 50001, N'Another writer was faster.', 1;
        COMMIT TRANSACTION;
        SELECT Item, Fate FROM @rows;
        """;

    internal const string ReadText = $"""
        SELECT r.Item, s.PayloadBinary, s.Version
        FROM OPENJSON(@items) WITH
            (Item INT '$.i', KeyHash1 INT '$.h1', TypeHash1 INT '$.g1', Type1 NVARCHAR(150) {Text} '$.t1', Key1 NVARCHAR(512) {Text} '$.k1') r
            JOIN OrleansStorage s ON {Row1};
        """;

    public async Task WriteAsync(IReadOnlyList<WriteItem> group, CancellationToken cancellationToken)
    {
        try
        {
            await RunAsync(
                WriteText,
                Json(group, item => (item.First, item.Second)),
                row => group[row.GetInt32(0)].Fate = (WriteFate)row.GetInt32(1),
                cancellationToken);
        }
        catch (SqlException fault) when (fault.Number is Deadlock or DuplicateIndexKey or DuplicateKey || (fault.Class is 16 && fault.Number > 0))
        {
            // An error of the batch itself, which XACT_ABORT takes back before the server answers. From class 17 on the server is in
            // trouble and may have committed, and a negative number is the client's own, a time-out for example.
            throw new GroupRefusedException(fault, overtaken: fault.Number is Overtaken or DuplicateIndexKey or DuplicateKey or Deadlock);
        }
    }

    public Task ReadAsync(IReadOnlyList<ReadItem> group, CancellationToken cancellationToken) => RunAsync(
        ReadText,
        Json(group, item => (new(item.Row, null, null), null)),
        row => group[row.GetInt32(0)].Found = new(row.IsDBNull(1) ? null : row.GetFieldValue<byte[]>(1), row.GetInt32(2)),
        cancellationToken);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static string Json<TItem>(IReadOnlyList<TItem> group, Func<TItem, (RowWrite First, RowWrite? Second)> rows)
    {
        using var buffer = new MemoryStream();
        using (var writer = new Utf8JsonWriter(buffer))
        {
            writer.WriteStartArray();
            for (var i = 0; i < group.Count; i++)
            {
                var (first, second) = rows(group[i]);
                writer.WriteStartObject();
                writer.WriteNumber("i", i);
                Write(writer, first, "h1", "g1", "t1", "k1", "p1", "v1", "n1");
                if (first.HistoryKey is { } history)
                {
                    writer.WriteString("l1", history);
                }

                if (second is { } write)
                {
                    Write(writer, write, "h2", "g2", "t2", "k2", "p2", "v2", "n2");
                }

                writer.WriteEndObject();
            }

            writer.WriteEndArray();
        }

        return Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length);
    }

    private static void Write(Utf8JsonWriter writer, RowWrite write, string keyHash, string typeHash, string type, string key, string payload, string version, string next)
    {
        writer.WriteNumber(keyHash, write.Row.KeyHash);
        writer.WriteNumber(typeHash, write.Row.TypeHash);
        writer.WriteString(type, write.Row.Type);
        writer.WriteString(key, write.Row.Key);
        if (write.Payload is { } bytes)
        {
            writer.WriteString(payload, bytes);
        }

        if (write.Version is { } number)
        {
            writer.WriteNumber(version, number);
        }

        writer.WriteNumber(next, write.Next);
    }

    private async Task RunAsync(string text, string items, Action<DbDataReader> read, CancellationToken cancellationToken)
    {
        await using var connection = await dataSource.OpenConnectionAsync(cancellationToken);
        await using var command = connection.CreateCommand();
        command.CommandText = text;
        command.Parameters.Add(new SqlParameter("@service", SqlDbType.NVarChar, 150) { Value = serviceId });
        command.Parameters.Add(new SqlParameter("@items", SqlDbType.NVarChar, -1) { Value = items });
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        while (await reader.ReadAsync(cancellationToken))
        {
            read(reader);
        }
    }
}
