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
            FROM unnest($7::int[], $8::int[], $9::text[], $10::text[], $11::bytea[], $12::int[], $13::int[], $14::text[], $15::text[])
                WITH ORDINALITY AS r(keyhash, typehash, type, key, payload, version, next, history, pending, item)
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
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey, PendingKey)
            SELECT keyhash, 0, 0, typehash, type, key, $1, payload, now(), next, history, pending FROM looked WHERE fate = 1 AND version IS NULL
        ),
        changed AS
        (
            UPDATE OrleansStorage s
            SET PayloadBinary = w.payload, ModifiedOn = now(), Version = w.next, HistoryKey = COALESCE(w.history, s.HistoryKey), PendingKey = w.pending
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

    private const string PendingText = """
        SELECT r.item::int, found.PendingKey, found.PayloadBinary
        FROM unnest($2::text[], $3::text[], $4::int[]) WITH ORDINALITY AS r(after, before, most, item)
        CROSS JOIN LATERAL
        (
            SELECT s.PendingKey, s.PayloadBinary FROM OrleansStorage s
            WHERE s.ServiceId = $1 AND s.PendingKey > r.after AND s.PendingKey < r.before
            ORDER BY s.PendingKey LIMIT r.most
        ) found
        """;

    private const string PendingKeysText = """
        SELECT r.item::int, found.PendingKey, NULL::bytea
        FROM unnest($2::text[], $3::text[], $4::int[]) WITH ORDINALITY AS r(after, before, most, item)
        CROSS JOIN LATERAL
        (
            SELECT s.PendingKey FROM OrleansStorage s
            WHERE s.ServiceId = $1 AND s.PendingKey > r.after AND s.PendingKey < r.before
            ORDER BY s.PendingKey LIMIT r.most
        ) found
        """;

    private const string HistoryText = """
        SELECT r.item::int, found.HistoryKey, found.PayloadBinary
        FROM unnest($2::text[], $3::text[], $4::int[]) WITH ORDINALITY AS r(after, before, most, item)
        CROSS JOIN LATERAL
        (
            SELECT s.HistoryKey, s.PayloadBinary FROM OrleansStorage s
            WHERE s.ServiceId = $1 AND s.HistoryKey > r.after AND s.HistoryKey < r.before
            ORDER BY s.HistoryKey DESC LIMIT r.most
        ) found
        """;

    // A plan is made once and kept. A plan made for a nearly empty table must not scan the table when it is full.
    // A row that another session holds locked must not delay a whole group. The server refuses the group at the lock
    // timeout, and each item is retried on its own.
    private const string Session = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; SET lock_timeout = '2s'";

    private static readonly NpgsqlDbType[] FenceColumns = [NpgsqlDbType.TimestampTz, NpgsqlDbType.Varchar, NpgsqlDbType.Varchar, NpgsqlDbType.Integer, NpgsqlDbType.Integer];
    private static readonly NpgsqlDbType[] KeyColumns = [Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Text)];
    private static readonly NpgsqlDbType[] ValueColumns =
        [Array(NpgsqlDbType.Bytea), Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Integer), Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Text)];

    private static readonly NpgsqlDbType[] RangeColumns = [Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Text), Array(NpgsqlDbType.Integer)];

    private readonly PreparedConnection writer = new(database, clock, serviceId, (WriteText, [.. FenceColumns, .. KeyColumns, .. ValueColumns]));
    private readonly PreparedConnection reader = new(database, clock, serviceId, (ReadText, KeyColumns));
    private readonly PreparedConnection ranges = new(database, clock, serviceId, (PendingText, RangeColumns), (PendingKeysText, RangeColumns), (HistoryText, RangeColumns));

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
            Column(writes, write => write.Keys.History),
            Column(writes, write => write.Keys.Pending),
        ];
        return writer.RunAsync(
            WriteText,
            [.. fence, .. Keys(writes.Select(write => write.Row)), .. values],
            row => group[row.GetInt32(0) - 1].Outcome = (WriteOutcome)row.GetInt32(1),
            cancellationToken);
    }

    public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken) => reader.RunAsync(
        ReadText,
        Keys(group.Select(item => item.Question)),
        row => group[row.GetInt32(0) - 1].Answer = new(row.IsDBNull(1) ? null : row.GetFieldValue<byte[]>(1), row.GetInt32(2)),
        cancellationToken);

    public async Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken)
    {
        foreach (var asked in group.GroupBy(item => item.Question.Index).Select(asked => asked.ToArray()))
        {
            await ranges.RunAsync(
                TextOf(asked[0].Question.Index),
                [Column(asked, item => item.Question.After), Column(asked, item => item.Question.Before), Column(asked, item => item.Question.Count)],
                row => asked[row.GetInt32(0) - 1].Answer.Add(new(row.GetString(1), row.IsDBNull(2) ? null : row.GetFieldValue<byte[]>(2))),
                cancellationToken);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await writer.DisposeAsync();
        await reader.DisposeAsync();
        await ranges.DisposeAsync();
    }

    private static string TextOf(RowIndex index) => index switch
    {
        RowIndex.Pending => PendingText,
        RowIndex.PendingKeys => PendingKeysText,
        _ => HistoryText,
    };

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

    /// <summary>One connection that is held open, with its statements prepared on it.</summary>
    private sealed class PreparedConnection(PostgreSqlDatabase database, TimeProvider clock, string serviceId, params (string Text, NpgsqlDbType[] Columns)[] statements) : IAsyncDisposable
    {
        private readonly HeldConnection held = new(database, clock);
        private readonly Dictionary<string, NpgsqlCommand> commands = [];

        public async Task RunAsync(string text, object[] values, Action<NpgsqlDataReader> read, CancellationToken cancellationToken)
        {
            // False means that an old session failed. A new session does not have its problem, so the statement is
            // retried on one.
            while (!await TryRunAsync(text, values, read, cancellationToken))
            {
            }
        }

        public ValueTask DisposeAsync() => held.DisposeAsync();

        private async Task<bool> TryRunAsync(string text, object[] values, Action<NpgsqlDataReader> read, CancellationToken cancellationToken)
        {
            var (isNew, isSent) = (false, false);
            try
            {
                (var command, isNew) = await PreparedAsync(text, cancellationToken);
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
                throw new UnavailableException(fault);
            }
            catch
            {
                await held.DisposeAsync();
                throw;
            }
        }

        private async Task<(NpgsqlCommand Command, bool IsNew)> PreparedAsync(string text, CancellationToken cancellationToken)
        {
            var (opened, isNew) = await held.OpenAsync(cancellationToken);
            if (!isNew)
            {
                return (commands[text], false);
            }

            var connection = (NpgsqlConnection)opened;
            await using (var session = new NpgsqlCommand(Session, connection) { CommandTimeout = Times.StatementSeconds })
            {
                await session.ExecuteNonQueryAsync(cancellationToken);
            }

            foreach (var (statement, columns) in statements)
            {
                var command = new NpgsqlCommand(statement, connection) { CommandTimeout = Times.StatementSeconds };
                command.Parameters.Add(new() { Value = serviceId, NpgsqlDbType = NpgsqlDbType.Text });
                foreach (var type in columns)
                {
                    command.Parameters.Add(new() { NpgsqlDbType = type });
                }

                await command.PrepareAsync(cancellationToken);
                commands[statement] = command;
            }

            return (commands[text], true);
        }
    }
}
