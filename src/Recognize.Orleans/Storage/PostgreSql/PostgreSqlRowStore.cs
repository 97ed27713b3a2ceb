using System.Collections.Concurrent;
using Npgsql;
using NpgsqlTypes;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage.PostgreSql;

/// <summary>
/// The row store of PostgreSQL. A group is one prepared statement over arrays: one round trip, one commit.
/// </summary>
internal sealed class PostgreSqlRowStore(PostgreSqlDatabase database, string serviceId, SiloIdentity? silo, TimeProvider clock) : IRowStore
{
    // The statement looks at the rows first, so that each item gets its own outcome and a duplicate costs no write. If
    // a writer on another silo comes in between, an insert violates the key or an update misses its row. The violation,
    // or else the division by zero, rolls the group back.
    // LATERAL with LIMIT cannot be flattened into a join. So each row is found by the index and each update finds its
    // row by its ctid, even if the table was small when the statement was planned.
    // The fence is checked first and locks nothing. A statement that arrives late, or from a silo that was voted dead,
    // writes nothing.
    private const string WriteText = """
        WITH fence AS MATERIALIZED
        (
            SELECT CASE
                WHEN clock_timestamp() >= $2 THEN 3
                WHEN $4::varchar IS NOT NULL AND NOT EXISTS
                (
                    SELECT 1 FROM OrleansMembershipTable AS member, RecognizeCluster AS cluster
                    WHERE member.DeploymentId = $3 AND member.Address = $4 AND member.Port = $5 AND member.Generation = $6 AND member.Status <> 6
                        AND cluster.ServiceId = $1 AND cluster.ClusterId = $3
                ) THEN 4
                ELSE 1 END AS fate
        ),
        looked AS MATERIALIZED
        (
            SELECT r.*, one.ctid AS place,
                CASE WHEN fence.fate <> 1 THEN fence.fate WHEN one.Version IS DISTINCT FROM r.version THEN 2 ELSE 1 END AS fate
            FROM unnest($7::int[], $8::int[], $9::text[], $10::text[], $11::bytea[], $12::int[], $13::int[], $14::text[], $15::text[], $16::text[])
                WITH ORDINALITY AS r(keyhash, typehash, type, key, payload, version, next, owner, open, due, item)
            CROSS JOIN fence
            LEFT JOIN LATERAL
            (
                SELECT s.ctid, s.Version FROM OrleansStorage s
                WHERE s.GrainIdHash = r.keyhash AND s.GrainTypeHash = r.typehash
                    AND s.GrainIdExtensionString = r.key AND s.GrainTypeString = r.type AND s.ServiceId = $1
                LIMIT 1
            ) one ON true
        ),
        added AS
        (
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, OwnerKey, OpenKey, DueKey)
            SELECT keyhash, 0, 0, typehash, type, key, $1, payload, now(), next, owner, open, due FROM looked WHERE fate = 1 AND version IS NULL
        ),
        changed AS
        (
            UPDATE OrleansStorage s
            SET PayloadBinary = w.payload, ModifiedOn = now(), Version = w.next, OwnerKey = w.owner, OpenKey = w.open, DueKey = w.due
            FROM looked w
            WHERE w.fate = 1 AND s.ctid = w.place AND s.Version = w.version AND w.payload IS NOT NULL
            RETURNING 1
        ),
        deleted AS
        (
            DELETE FROM OrleansStorage s
            USING looked w
            WHERE w.fate = 1 AND s.ctid = w.place AND s.Version = w.version AND w.payload IS NULL
            RETURNING 1
        )
        SELECT item::int, fate,
            1 / CASE WHEN (SELECT count(*) FROM changed) + (SELECT count(*) FROM deleted) = (SELECT count(version) FROM looked WHERE fate = 1) THEN 1 ELSE 0 END
        FROM looked
        """;

    private const string ReadText = """
        SELECT r.item::int, found.PayloadBinary, found.Version
        FROM unnest($2::int[], $3::int[], $4::text[], $5::text[]) WITH ORDINALITY AS r(keyhash, typehash, type, key, item)
        CROSS JOIN LATERAL
        (
            SELECT s.PayloadBinary, s.Version FROM OrleansStorage s
            WHERE s.GrainIdHash = r.keyhash AND s.GrainTypeHash = r.typehash
                AND s.GrainIdExtensionString = r.key AND s.GrainTypeString = r.type AND s.ServiceId = $1
            LIMIT 1
        ) found
        """;

    // A plan is made once and kept. A plan made for a nearly empty table must not scan the table when it is full.
    // A row that another session holds locked must not delay a whole group. The server refuses the group at the lock
    // timeout, and each item is retried on its own.
    internal const string Session = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; SET lock_timeout = '2s'";

    private static readonly NpgsqlDbType[] FenceColumns = [NpgsqlDbType.TimestampTz, NpgsqlDbType.Varchar, NpgsqlDbType.Varchar, NpgsqlDbType.Integer, NpgsqlDbType.Integer];
    private static readonly NpgsqlDbType[] KeyColumns = [Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Text)];
    private static readonly NpgsqlDbType[] ValueColumns =
        [Array(NpgsqlDbType.Bytea), Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Text)];

    private static readonly NpgsqlDbType[] RangeColumns = [Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Integer)];

    private static readonly Statement Writing = new(WriteText, [.. FenceColumns, .. KeyColumns, .. ValueColumns]);
    private static readonly Statement Reading = new(ReadText, KeyColumns);
    private static readonly ConcurrentDictionary<RangeKind, Statement> ReadingRanges = [];

    private readonly PreparedConnection writer = new(database, clock, serviceId);
    private readonly PreparedConnection reader = new(database, clock, serviceId);
    private readonly PreparedConnection ranges = new(database, clock, serviceId);

    public Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken)
    {
        var writes = group.Select(item => item.Write);
        object[] fence = silo is null
            ? [until, DBNull.Value, DBNull.Value, DBNull.Value, DBNull.Value]
            : [until, silo.ClusterId, silo.Address, silo.Port, silo.Generation];
        object[] values =
        [
            Column(writes, write => write.Payload),
            Column(writes, write => write.Version),
            Column(writes, write => write.Next),
            Column(writes, write => write.Keys.Owner),
            Column(writes, write => write.Keys.Open),
            Column(writes, write => write.Keys.Due),
        ];
        return writer.RunAsync(
            Writing,
            [.. fence, .. Keys(writes.Select(write => write.Row)), .. values],
            row => group[row.GetInt32(0) - 1].Outcome = (WriteOutcome)row.GetInt32(1),
            cancellationToken);
    }

    public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken) => reader.RunAsync(
        Reading,
        Keys(group.Select(item => item.Question)),
        row => group[row.GetInt32(0) - 1].Answer = new(row.IsDBNull(1) ? null : row.GetFieldValue<byte[]>(1), row.GetInt32(2)),
        cancellationToken);

    public async Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken)
    {
        foreach (var asked in group.GroupBy(item => item.Question.Kind).Select(asked => asked.ToArray()))
        {
            await ranges.RunAsync(
                ReadingRanges.GetOrAdd(asked[0].Question.Kind, static kind => new(RangeText(kind), RangeColumns)),
                [Column(asked, item => item.Question.After), Column(asked, item => item.Question.Before), Column(asked, item => item.Question.Count)],
                row => asked[row.GetInt32(0) - 1].Answer.Add(new(row.GetString(1), row.IsDBNull(2) ? null : row.GetString(2), row.IsDBNull(3) ? null : row.GetFieldValue<byte[]>(3))),
                cancellationToken);
        }
    }

    internal static string RangeText(RangeKind kind)
    {
        var part = kind.Part switch
        {
            RowPart.None => "NULL::text, NULL::bytea",
            RowPart.GrainKey => "s.GrainIdExtensionString, NULL::bytea",
            _ => "NULL::text, s.PayloadBinary",
        };
        return $"""
            SELECT r.item::int, found.*
            FROM unnest($2::text[], $3::text[], $4::int[]) WITH ORDINALITY AS r(after, before, most, item)
            CROSS JOIN LATERAL
            (
                SELECT s.{kind.Column}, {part} FROM OrleansStorage s
                WHERE s.ServiceId = $1 AND s.{kind.Column} > r.after AND s.{kind.Column} < r.before
                ORDER BY s.{kind.Column} {kind.Order} LIMIT r.most
            ) found
            """;
    }

    public async ValueTask DisposeAsync()
    {
        await writer.DisposeAsync();
        await reader.DisposeAsync();
        await ranges.DisposeAsync();
    }

    private static NpgsqlDbType Array(NpgsqlDbType type) => NpgsqlDbType.Array | type;

    private static TValue[] Column<TItem, TValue>(IEnumerable<TItem> items, Func<TItem, TValue> value) => [.. items.Select(value)];

    private static object[] Keys(IEnumerable<RowKey> rows) =>
        [Column(rows, row => row.KeyHash), Column(rows, row => row.TypeHash), Column(rows, row => row.Type), Column(rows, row => row.Key)];

    private static bool IsOvertaken(PostgresException fault) =>
        fault.SqlState is PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.DivisionByZero or PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure;

    // The server rolled the statement back because of its values or of a lock, or because it was cancelled. The
    // connection is still good.
    private static bool LeavesConnection(PostgresException fault) =>
        IsOvertaken(fault) || fault.SqlState is PostgresErrorCodes.LockNotAvailable or PostgresErrorCodes.QueryCanceled || fault.SqlState[..2] is "22" or "23";

    // The server reports these errors when it goes away. It may have committed before.
    private static bool EndsConnection(PostgresException fault) =>
        fault.InvariantSeverity is "FATAL" or "PANIC"
        || fault.SqlState.StartsWith("57P", StringComparison.Ordinal)
        || fault.SqlState.StartsWith("08", StringComparison.Ordinal)
        || fault.SqlState is "40003";

    /// <param name="Text">The text, whose first parameter is the service.</param>
    /// <param name="Columns">The types of the other parameters.</param>
    private sealed record Statement(string Text, NpgsqlDbType[] Columns);

    /// <summary>One connection that is held open. A statement is prepared on it when it is first needed.</summary>
    private sealed class PreparedConnection(PostgreSqlDatabase database, TimeProvider clock, string serviceId) : IAsyncDisposable
    {
        private readonly HeldConnection held = new(database, clock);
        private readonly Dictionary<Statement, NpgsqlCommand> commands = new(ReferenceEqualityComparer.Instance);

        public async Task RunAsync(Statement statement, object[] values, Action<NpgsqlDataReader> read, CancellationToken cancellationToken)
        {
            // False means that an old session failed. A new session does not have its problem, so the statement is
            // retried on one.
            while (!await TryRunAsync(statement, values, read, cancellationToken))
            {
            }
        }

        public ValueTask DisposeAsync() => held.DisposeAsync();

        private async Task<bool> TryRunAsync(Statement statement, object[] values, Action<NpgsqlDataReader> read, CancellationToken cancellationToken)
        {
            var (isNew, isSent) = (true, false);
            try
            {
                (var connection, isNew) = await held.OpenAsync(cancellationToken);
                var command = await PreparedAsync((NpgsqlConnection)connection, isNew, statement, cancellationToken);
                for (var i = 0; i < values.Length; i++)
                {
                    command.Parameters[i + 1].Value = values[i];
                }

                isSent = true;
                await using (var rows = await command.ExecuteReaderAsync(cancellationToken))
                {
                    while (await rows.ReadAsync(cancellationToken))
                    {
                        read(rows);
                    }
                }

                held.Answered();
                return true;
            }
            catch (PostgresException fault) when (isSent && !EndsConnection(fault))
            {
                if (!LeavesConnection(fault))
                {
                    await held.DisposeAsync();
                }

                return database.Classify(fault) switch
                {
                    FaultScope.Statement => throw new GroupRefusedException(fault, IsOvertaken(fault)),
                    FaultScope.Session when !isNew => false,
                    _ => throw new UnavailableException(fault),
                };
            }
            catch (Exception fault) when (!isSent)
            {
                await held.DisposeAsync();
                return !isNew && database.Classify(fault) is FaultScope.Session ? false : throw new UnavailableException(fault);
            }
            catch
            {
                await held.DisposeAsync();
                throw;
            }
        }

        private async Task<NpgsqlCommand> PreparedAsync(NpgsqlConnection connection, bool isNew, Statement statement, CancellationToken cancellationToken)
        {
            if (isNew)
            {
                commands.Clear();
                await using var session = new NpgsqlCommand(Session, connection) { CommandTimeout = Times.StatementSeconds };
                await session.ExecuteNonQueryAsync(cancellationToken);
            }

            if (!commands.TryGetValue(statement, out var command))
            {
                command = new NpgsqlCommand(statement.Text, connection) { CommandTimeout = Times.StatementSeconds };
                command.Parameters.Add(new() { Value = serviceId, NpgsqlDbType = NpgsqlDbType.Text });
                foreach (var type in statement.Columns)
                {
                    command.Parameters.Add(new() { NpgsqlDbType = type });
                }

                await command.PrepareAsync(cancellationToken);
                commands.Add(statement, command);
            }

            return command;
        }
    }
}
