using System.Data.Common;
using Npgsql;
using NpgsqlTypes;

namespace Recognize.Orleans.Storage;

/// <summary>Groups on PostgreSQL: one prepared statement over arrays, one round trip, one commit.</summary>
internal sealed class PostgreSqlRows(DbDataSource dataSource, string serviceId) : IRows
{
    // Looks first, so that each item has its own fate and a duplicate costs no write. A writer on another silo that comes in
    // between makes an insert break the key or an update miss its row; the division by zero then takes the group back.
    // LATERAL with LIMIT cannot be flattened into a join, so that however small the table was when the statement was
    // planned, each row is looked up by the index and each update finds its row by its place.
    private const string WriteText = """
        WITH looked AS MATERIALIZED
        (
            SELECT r.*, one.ctid AS place1, two.ctid AS place2,
                CASE WHEN one.Version IS DISTINCT FROM r.version1 THEN 2 WHEN two.Version IS DISTINCT FROM r.version2 THEN 3 ELSE 1 END AS fate
            FROM unnest($2::int[], $3::int[], $4::text[], $5::text[], $6::bytea[], $7::int[], $8::int[], $9::int[], $10::int[], $11::text[], $12::text[], $13::bytea[], $14::int[], $15::int[], $16::text[])
                WITH ORDINALITY AS r(keyhash1, typehash1, type1, key1, payload1, version1, next1, keyhash2, typehash2, type2, key2, payload2, version2, next2, history, item)
            LEFT JOIN LATERAL
            (
                SELECT s.ctid, s.Version FROM OrleansStorage s
                WHERE s.GrainIdHash = r.keyhash1 AND s.GrainTypeHash = r.typehash1
                    AND s.GrainIdExtensionString = r.key1 AND s.GrainTypeString = r.type1 AND s.ServiceId = $1
                LIMIT 1
            ) one ON true
            LEFT JOIN LATERAL
            (
                SELECT s.ctid, s.Version FROM OrleansStorage s
                WHERE s.GrainIdHash = r.keyhash2 AND s.GrainTypeHash = r.typehash2
                    AND s.GrainIdExtensionString = r.key2 AND s.GrainTypeString = r.type2 AND s.ServiceId = $1
                LIMIT 1
            ) two ON true
        ),
        write AS MATERIALIZED
        (
            SELECT keyhash1 AS keyhash, typehash1 AS typehash, type1 AS type, key1 AS key, payload1 AS payload, version1 AS version, next1 AS next, place1 AS place, history
            FROM looked WHERE fate = 1
            UNION ALL
            SELECT keyhash2, typehash2, type2, key2, payload2, version2, next2, place2, NULL
            FROM looked WHERE fate = 1 AND key2 IS NOT NULL
        ),
        added AS
        (
            INSERT INTO OrleansStorage
                (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
            SELECT keyhash, 0, 0, typehash, type, key, $1, payload, now(), next, history FROM write WHERE version IS NULL
        ),
        changed AS
        (
            UPDATE OrleansStorage s
            SET PayloadBinary = w.payload, ModifiedOn = now(), Version = w.next, HistoryKey = COALESCE(w.history, s.HistoryKey)
            FROM write w
            WHERE s.ctid = w.place AND s.Version = w.version AND w.payload IS NOT NULL
            RETURNING 1
        ),
        deleted AS
        (
            DELETE FROM OrleansStorage s
            USING write w
            WHERE s.ctid = w.place AND s.Version = w.version AND w.payload IS NULL
            RETURNING 1
        )
        SELECT item::int, fate,
            1 / CASE WHEN (SELECT count(*) FROM changed) + (SELECT count(*) FROM deleted) = (SELECT count(version) FROM write) THEN 1 ELSE 0 END
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

    // A plan is made once and kept; one that was made for a nearly empty table must not scan it when it is full.
    // A row that somebody else holds locked must not hold up a whole group: the server refuses it, and each item is tried by itself.
    private const string Session = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off; SET lock_timeout = '2s'";

    private static readonly NpgsqlDbType[] KeyColumns = [NpgsqlDbType.Integer, NpgsqlDbType.Integer, NpgsqlDbType.Text, NpgsqlDbType.Text];
    private static readonly NpgsqlDbType[] RowColumns = [.. KeyColumns, NpgsqlDbType.Bytea, NpgsqlDbType.Integer, NpgsqlDbType.Integer];

    private readonly Line writer = new((NpgsqlDataSource)dataSource, WriteText, serviceId, [.. RowColumns, .. RowColumns, NpgsqlDbType.Text]);
    private readonly Line reader = new((NpgsqlDataSource)dataSource, ReadText, serviceId, KeyColumns);

    public async Task WriteAsync(IReadOnlyList<WriteItem> group, CancellationToken cancellationToken)
    {
        var first = new Columns(group.Count);
        var second = new Columns(group.Count);
        for (var i = 0; i < group.Count; i++)
        {
            first.Set(i, group[i].First);
            if (group[i].Second is { } write)
            {
                second.Set(i, write);
            }
        }

        try
        {
            await writer.RunAsync([.. first.Row, .. second.Row, first.HistoryKeys], row => group[row.GetInt32(0) - 1].Fate = (WriteFate)row.GetInt32(1), cancellationToken);
        }
        catch (PostgresException fault) when (!EndsConnection(fault))
        {
            throw new GroupRefusedException(fault, overtaken: IsOvertaken(fault));
        }
    }

    public Task ReadAsync(IReadOnlyList<ReadItem> group, CancellationToken cancellationToken)
    {
        var rows = new Columns(group.Count);
        for (var i = 0; i < group.Count; i++)
        {
            rows.Set(i, new(group[i].Row, null, null));
        }

        return reader.RunAsync(
            rows.Key,
            row => group[row.GetInt32(0) - 1].Found = new(row.IsDBNull(1) ? null : row.GetFieldValue<byte[]>(1), row.GetInt32(2)),
            cancellationToken);
    }

    public async ValueTask DisposeAsync()
    {
        await writer.DisposeAsync();
        await reader.DisposeAsync();
    }

    private static bool IsOvertaken(PostgresException fault) =>
        fault.SqlState is PostgresErrorCodes.UniqueViolation or PostgresErrorCodes.DivisionByZero or PostgresErrorCodes.DeadlockDetected or PostgresErrorCodes.SerializationFailure;

    // The server says these when it goes away, and may have committed before.
    private static bool EndsConnection(PostgresException fault) =>
        fault.InvariantSeverity is "FATAL" or "PANIC"
        || fault.SqlState.StartsWith("57P", StringComparison.Ordinal)
        || fault.SqlState.StartsWith("08", StringComparison.Ordinal)
        || fault.SqlState is "40003";

    private sealed class Columns(int rows)
    {
        private readonly int?[] keyHashes = new int?[rows];
        private readonly int?[] typeHashes = new int?[rows];
        private readonly string?[] types = new string?[rows];
        private readonly string?[] keys = new string?[rows];
        private readonly byte[]?[] payloads = new byte[]?[rows];
        private readonly int?[] versions = new int?[rows];
        private readonly int?[] next = new int?[rows];

        public string?[] HistoryKeys { get; } = new string?[rows];

        public object[] Key => [keyHashes, typeHashes, types, keys];

        public object[] Row => [.. Key, payloads, versions, next];

        public void Set(int i, RowWrite write)
        {
            keyHashes[i] = write.Row.KeyHash;
            typeHashes[i] = write.Row.TypeHash;
            types[i] = write.Row.Type;
            keys[i] = write.Row.Key;
            payloads[i] = write.Payload;
            versions[i] = write.Version;
            next[i] = write.Next;
            HistoryKeys[i] = write.HistoryKey;
        }
    }

    /// <summary>One connection that is held open, with one statement prepared on it.</summary>
    private sealed class Line(NpgsqlDataSource dataSource, string text, string serviceId, NpgsqlDbType[] arrays) : IAsyncDisposable
    {
        private NpgsqlConnection? connection;
        private NpgsqlCommand? command;

        public async Task RunAsync(object[] values, Action<NpgsqlDataReader> read, CancellationToken cancellationToken)
        {
            try
            {
                var prepared = command ?? await OpenAsync(cancellationToken);
                for (var i = 0; i < values.Length; i++)
                {
                    prepared.Parameters[i + 1].Value = values[i];
                }

                await using var rows = await prepared.ExecuteReaderAsync(cancellationToken);
                while (await rows.ReadAsync(cancellationToken))
                {
                    read(rows);
                }
            }
            catch (PostgresException fault) when (command is not null && !EndsConnection(fault))
            {
                // The server took the statement back; the connection is as good as before.
                throw;
            }
            catch
            {
                await DisposeAsync();
                throw;
            }
        }

        public async ValueTask DisposeAsync()
        {
            var (closing, opened) = (connection, command);
            (connection, command) = (null, null);
            if (opened is not null)
            {
                await opened.DisposeAsync();
            }

            if (closing is not null)
            {
                await closing.DisposeAsync();
            }
        }

        private async Task<NpgsqlCommand> OpenAsync(CancellationToken cancellationToken)
        {
            connection = await dataSource.OpenConnectionAsync(cancellationToken);
            await using (var session = new NpgsqlCommand(Session, connection))
            {
                await session.ExecuteNonQueryAsync(cancellationToken);
            }

            var opened = new NpgsqlCommand(text, connection);
            opened.Parameters.Add(new() { Value = serviceId, NpgsqlDbType = NpgsqlDbType.Text });
            foreach (var type in arrays)
            {
                opened.Parameters.Add(new() { NpgsqlDbType = NpgsqlDbType.Array | type });
            }

            await opened.PrepareAsync(cancellationToken);
            return command = opened;
        }
    }
}
