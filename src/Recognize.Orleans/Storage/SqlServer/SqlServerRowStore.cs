using System.Collections.Concurrent;
using System.Data;
using System.Data.Common;
using Microsoft.Data.SqlClient;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage.SqlServer;

/// <summary>
/// The row store of SQL Server. A group is one batch over rows of parameters: one round trip, one commit. Plain T-SQL
/// without lock hints.
/// </summary>
/// <remarks>
/// Joins are loop joins that start from the group, and parts that only read must seek. A plan made for a nearly empty
/// table, or from old statistics, must not scan the table when it is full. FORCESEEK is not allowed on the target of a
/// change.
/// </remarks>
internal sealed class SqlServerRowStore(SqlServerDatabase database, string serviceId, SiloIdentity? silo, TimeProvider clock) : IRowStore
{
    private const int Overtaken = 50_001;
    private const int DuplicateIndexKey = 2_601;
    private const int DuplicateKey = 2_627;
    private const int Deadlock = 1_205;
    private const int LockTimeout = 1_222;
    private const int NoPermission = 229;
    private const int NoPermissionOnColumn = 230;

    // Errors have class 11 or higher. Messages below that accompany an error, such as "The statement has been
    // terminated.".
    private const byte LowestErrorClass = 11;
    private const byte ErrorOfTheBatch = 16;

    private const string Collation = "COLLATE Latin1_General_100_BIN2";

    private const string Row =
        $"s.GrainIdHash = r.KeyHash AND s.GrainTypeHash = r.TypeHash AND s.GrainIdExtensionString = r.[Key] AND s.GrainTypeString = r.Type AND s.ServiceId = @service";

    // A parameter has the collation of the database, but keys must be compared by the collation of the column.
    private const string GivenRow =
        $"s.GrainIdHash = given.KeyHash AND s.GrainTypeHash = given.TypeHash AND s.GrainIdExtensionString = given.[Key] {Collation} AND s.GrainTypeString = given.Type {Collation} AND s.ServiceId = @service";

    // The batch looks at the rows first, so that each item gets its own outcome. If a writer on another silo comes in
    // between, an insert violates the unique index or an update misses its row, and the whole batch is rolled back.
    // The fence is checked first: a batch that arrives late, or from a silo that was voted dead, writes nothing. A
    // batch that a lock has held up until it is late is rolled back too.
    private static readonly SqlServerStatement<WriteItem> Writing = new(
        given => $"""
            SET NOCOUNT ON;
            SET XACT_ABORT ON;
            SET LOCK_TIMEOUT 2000;
            DECLARE @changed INT;
            DECLARE @fence INT;
            DECLARE @rows TABLE
            (
                Item INT NOT NULL PRIMARY KEY,
                Outcome INT NOT NULL,
                KeyHash INT NOT NULL,
                TypeHash INT NOT NULL,
                Type NVARCHAR(150) {Collation} NOT NULL,
                [Key] NVARCHAR(512) {Collation} NOT NULL,
                Payload VARBINARY(MAX) NULL,
                Version INT NULL,
                OwnerKey VARCHAR(220) {Collation} NULL,
                OpenKey VARCHAR(220) {Collation} NULL,
                DueKey VARCHAR(220) {Collation} NULL
            );
            SET @fence = CASE
                WHEN SYSUTCDATETIME() >= @until THEN 3
                WHEN @address IS NOT NULL AND NOT EXISTS
                (
                    SELECT 1 FROM OrleansMembershipTable AS member JOIN RecognizeCluster AS cluster ON cluster.ServiceId = @service AND cluster.ClusterId = member.DeploymentId
                    WHERE member.DeploymentId = @cluster AND member.Address = @address AND member.Port = @port AND member.Generation = @generation AND member.Status <> 6
                ) THEN 4
                ELSE 1 END;
            INSERT INTO @rows (Item, Outcome, KeyHash, TypeHash, Type, [Key], Payload, Version, OwnerKey, OpenKey, DueKey)
            SELECT given.Item, @fence, given.KeyHash, given.TypeHash, given.Type, given.[Key], given.Payload, given.Version, given.OwnerKey, given.OpenKey, given.DueKey
            FROM {given}
            WHERE given.KeyHash IS NOT NULL;
            BEGIN TRANSACTION;
            UPDATE r
            SET Outcome = 2
            FROM @rows AS r LEFT LOOP JOIN OrleansStorage AS s WITH (FORCESEEK) ON {Row}
            WHERE r.Outcome = 1 AND COALESCE(s.Version, -1) <> COALESCE(r.Version, -1);
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, OwnerKey, OpenKey, DueKey)
            SELECT r.KeyHash, 0, 0, r.TypeHash, r.Type, r.[Key], @service, r.Payload, SYSUTCDATETIME(), 1, r.OwnerKey, r.OpenKey, r.DueKey
            FROM @rows AS r
            WHERE r.Outcome = 1 AND r.Version IS NULL;
            UPDATE s
            SET PayloadBinary = r.Payload, ModifiedOn = SYSUTCDATETIME(), Version = r.Version + 1, OwnerKey = r.OwnerKey, OpenKey = r.OpenKey, DueKey = r.DueKey
            FROM @rows AS r INNER LOOP JOIN OrleansStorage AS s ON {Row} AND s.Version = r.Version
            WHERE r.Outcome = 1 AND r.Payload IS NOT NULL;
            SET @changed = @@ROWCOUNT;
            DELETE s
            FROM @rows AS r INNER LOOP JOIN OrleansStorage AS s ON {Row} AND s.Version = r.Version
            WHERE r.Outcome = 1 AND r.Payload IS NULL;
            SET @changed = @changed + @@ROWCOUNT;
            IF @changed <> (SELECT COUNT(r.Version) FROM @rows AS r WHERE r.Outcome = 1) THROW 50001, N'Another writer was faster.', 1;
            IF @fence = 1 AND SYSUTCDATETIME() >= @until THROW 50002, N'The batch was held up for too long.', 1;
            SELECT r.Item, r.Outcome FROM @rows AS r;
            COMMIT TRANSACTION;
            """,
        [
            .. KeyColumns<WriteItem>(item => item.Write.Row),
            new("Payload", 'p', SqlDbType.VarBinary, -1, item => item.Write.Payload),
            new("Version", 'v', SqlDbType.Int, 0, item => item.Write.Version),
            new("OwnerKey", 'w', SqlDbType.VarChar, 220, item => item.Write.Keys.Owner),
            new("OpenKey", 'o', SqlDbType.VarChar, 220, item => item.Write.Keys.Open),
            new("DueKey", 'd', SqlDbType.VarChar, 220, item => item.Write.Keys.Due),
        ]);

    private static readonly SqlServerStatement<ReadItem<RowKey, StoredRow?>> Reading = new(
        given => $"""
            SET NOCOUNT ON;
            SET XACT_ABORT ON;
            SET LOCK_TIMEOUT 2000;
            SELECT given.Item, s.PayloadBinary, s.Version
            FROM {given}
            INNER LOOP JOIN OrleansStorage AS s WITH (FORCESEEK) ON {GivenRow}
            WHERE given.KeyHash IS NOT NULL;
            """,
        KeyColumns<ReadItem<RowKey, StoredRow?>>(item => item.Question));

    private static readonly ConcurrentDictionary<RangeKind, SqlServerStatement<ReadItem<RowRange, List<RangeRow>>>> ReadingRanges = [];

    private readonly HeldConnection writer = new(database, clock);
    private readonly HeldConnection reader = new(database, clock);
    private readonly HeldConnection rangeReader = new(database, clock);

    public Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken) => RunAsync(
        writer,
        Writing,
        group,
        row => group[row.GetInt32(0)].Outcome = (WriteOutcome)row.GetInt32(1),
        cancellationToken,
        new("@until", SqlDbType.DateTime2) { Value = until },
        new("@cluster", SqlDbType.NVarChar, 150) { Value = (object?)silo?.ClusterId ?? DBNull.Value },
        new("@address", SqlDbType.VarChar, 45) { Value = (object?)silo?.Address ?? DBNull.Value },
        new("@port", SqlDbType.Int) { Value = (object?)silo?.Port ?? DBNull.Value },
        new("@generation", SqlDbType.Int) { Value = (object?)silo?.Generation ?? DBNull.Value });

    public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken) => RunAsync(
        reader,
        Reading,
        group,
        row => group[row.GetInt32(0)].Answer = new(row.IsDBNull(1) ? null : row.GetFieldValue<byte[]>(1), row.GetInt32(2)),
        cancellationToken);

    public async Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken)
    {
        foreach (var ranges in group.GroupBy(item => item.Question.Kind).Select(ranges => ranges.ToArray()))
        {
            await RunAsync(
                rangeReader,
                ReadingRanges.GetOrAdd(ranges[0].Question.Kind, ReadingRange),
                ranges,
                row => ranges[row.GetInt32(0)].Answer.Add(new(row.GetString(1), row.IsDBNull(2) ? null : row.GetString(2), row.IsDBNull(3) ? null : row.GetFieldValue<byte[]>(3))),
                cancellationToken);
        }
    }

    /// <summary>
    /// Whether the error is one of the batch itself. XACT_ABORT rolls the batch back before the server answers.
    /// </summary>
    public static bool IsOfTheBatch(SqlException fault) => fault.Errors.Cast<SqlError>().All(error => error.Class < LowestErrorClass || IsOfTheBatch(error));

    public async ValueTask DisposeAsync()
    {
        await writer.DisposeAsync();
        await reader.DisposeAsync();
        await rangeReader.DisposeAsync();
    }

    // TOP accepts no NULL, so a padding row asks for zero rows. A filtered index is used only if the condition implies its filter.
    private static SqlServerStatement<ReadItem<RowRange, List<RangeRow>>> ReadingRange(RangeKind kind)
    {
        var part = kind.Part switch
        {
            RowPart.None => "CAST(NULL AS NVARCHAR(512)) AS GrainKey, CAST(NULL AS VARBINARY(MAX)) AS PayloadBinary",
            RowPart.GrainKey => "s.GrainIdExtensionString AS GrainKey, CAST(NULL AS VARBINARY(MAX)) AS PayloadBinary",
            _ => "CAST(NULL AS NVARCHAR(512)) AS GrainKey, s.PayloadBinary",
        };
        return new(
            given => $"""
                SET NOCOUNT ON;
                SET XACT_ABORT ON;
                SET LOCK_TIMEOUT 2000;
                SELECT given.Item, found.Place, found.GrainKey, found.PayloadBinary
                FROM {given}
                CROSS APPLY
                (
                    SELECT TOP (given.Most) s.{kind.Column} AS Place, {part} FROM OrleansStorage AS s WITH (FORCESEEK)
                    WHERE s.ServiceId = @service AND s.{kind.Column} IS NOT NULL AND s.{kind.Column} > given.[After] {Collation} AND s.{kind.Column} < given.[Before] {Collation}
                    ORDER BY s.{kind.Column} {kind.Order}
                ) AS found
                WHERE given.Most > 0
                ORDER BY given.Item, found.Place {kind.Order};
                """,
            new("[After]", 'a', SqlDbType.VarChar, 220, item => item.Question.After),
            new("[Before]", 'b', SqlDbType.VarChar, 220, item => item.Question.Before),
            new("Most", 'c', SqlDbType.Int, 0, item => item.Question.Count) { Padding = 0 });
    }

    private static SqlServerColumn<TItem>[] KeyColumns<TItem>(Func<TItem, RowKey> key) =>
    [
        new("KeyHash", 'h', SqlDbType.Int, 0, item => key(item).KeyHash),
        new("TypeHash", 'g', SqlDbType.Int, 0, item => key(item).TypeHash),
        new("Type", 't', SqlDbType.NVarChar, 150, item => key(item).Type),
        new("[Key]", 'k', SqlDbType.NVarChar, 512, item => key(item).Key),
    ];

    private static bool IsOvertaken(SqlException fault) => fault.Number is Overtaken or DuplicateIndexKey or DuplicateKey or Deadlock;

    // From class 17 on the server is in trouble and may have committed. Azure's numbers, whatever their class, may also
    // mean that it has committed. A negative number is the client's own error, such as a timeout.
    private static bool IsOfTheBatch(SqlError error) =>
        error.Number is Deadlock or DuplicateIndexKey or DuplicateKey or LockTimeout or NoPermission or NoPermissionOnColumn || (error.Class is ErrorOfTheBatch && error.Number is > 0 and not (>= 40_000 and <= 49_999));

    private async Task RunAsync<TItem>(
        HeldConnection held, SqlServerStatement<TItem> statement, IReadOnlyList<TItem> group, Action<DbDataReader> read, CancellationToken cancellationToken, params SqlParameter[] parameters)
    {
        var isSent = false;
        try
        {
            var (connection, _) = await held.OpenAsync(cancellationToken);
            await using var command = connection.CreateCommand();
            command.CommandTimeout = Times.StatementSeconds;
            command.Parameters.Add(new SqlParameter("@service", SqlDbType.NVarChar, 150) { Value = serviceId });
            command.Parameters.AddRange(parameters);
            statement.AddTo(command, group);
            isSent = true;
            await using (var rows = await command.ExecuteReaderAsync(cancellationToken))
            {
                while (await rows.ReadAsync(cancellationToken))
                {
                    read(rows);
                }

                // An error after the rows, such as a failed commit, is raised here.
                while (await rows.NextResultAsync(cancellationToken))
                {
                }
            }

            held.Answered();
        }
        catch (Exception fault)
        {
            // The end of the session also ends what the batch left behind, above all an open transaction.
            await held.DisposeAsync();
            switch (fault)
            {
                case var _ when !isSent:
                case SqlException refused when IsOfTheBatch(refused) && database.Classify(refused) is not FaultScope.Statement:
                    throw new UnavailableException(fault);
                case SqlException refused when IsOfTheBatch(refused):
                    throw new GroupRefusedException(refused, IsOvertaken(refused));
                default:
                    throw;
            }
        }
    }
}
