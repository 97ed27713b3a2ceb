using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Recognize.Orleans.Storage.Sqlite;

/// <summary>The row store of SQLite: one writer with prepared statements, one commit for each group.</summary>
internal sealed class SqliteRowStore(SqliteDataSource dataSource, string serviceId) : IRowStore
{
    private const string Identity = "GrainIdHash = @keyhash AND GrainTypeHash = @typehash AND GrainIdExtensionString = @key AND GrainTypeString = @type AND ServiceId = @service";
    private const string Now = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now')";

    private const string InsertText = $"""
        INSERT INTO OrleansStorage
            (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey, PendingKey)
        VALUES (@keyhash, 0, 0, @typehash, @type, @key, @service, @payload, {Now}, @next, @history, @pending)
        ON CONFLICT DO NOTHING
        """;

    private const string UpdateText =
        $"UPDATE OrleansStorage SET PayloadBinary = @payload, ModifiedOn = {Now}, Version = @next, PendingKey = @pending WHERE {Identity} AND Version = @version";

    private const string MoveText =
        $"UPDATE OrleansStorage SET HistoryKey = @history, PayloadBinary = @payload, ModifiedOn = {Now}, Version = @next, PendingKey = @pending WHERE {Identity} AND Version = @version";

    private const string DeleteText = $"DELETE FROM OrleansStorage WHERE {Identity} AND Version = @version";

    private const string SelectText = $"SELECT PayloadBinary, Version FROM OrleansStorage WHERE {Identity}";

    private const string PendingText = """
        SELECT PendingKey, PayloadBinary FROM OrleansStorage
        WHERE ServiceId = @service AND PendingKey > @after AND PendingKey < @before ORDER BY PendingKey LIMIT @count
        """;

    private const string PendingKeysText = """
        SELECT PendingKey, NULL FROM OrleansStorage
        WHERE ServiceId = @service AND PendingKey > @after AND PendingKey < @before ORDER BY PendingKey LIMIT @count
        """;

    private const string HistoryText = """
        SELECT HistoryKey, PayloadBinary FROM OrleansStorage
        WHERE ServiceId = @service AND HistoryKey > @after AND HistoryKey < @before ORDER BY HistoryKey DESC LIMIT @count
        """;

    private PreparedConnection? writer;
    private PreparedConnection? reader;
    private PreparedConnection? ranges;

    // The driver is synchronous, so the pump's thread does the work. Nothing is in flight when this returns, so no
    // write can be late.
    public Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken)
    {
        var (begun, committing) = (false, false);
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            var line = writer ??= new(dataSource, serviceId);
            dataSource.ThrowIfMoved();
            line.Run("BEGIN IMMEDIATE");
            begun = true;
            foreach (var item in group)
            {
                item.Outcome = line.Write(item.Write) ? WriteOutcome.Written : WriteOutcome.Conflicts;
            }

            committing = true;
            line.Run("COMMIT");

            // A write that only a deleted file holds must not be acknowledged.
            dataSource.ThrowIfMoved();
            return Task.CompletedTask;
        }
        catch (Exception fault) when (!committing)
        {
            // If BEGIN fails, it fails for every item. A failed write may concern one item only.
            Close(ref writer);
            throw begun ? new GroupRefusedException(fault) : new UnavailableException(fault);
        }
        catch (Exception fault)
        {
            // If a failed COMMIT leaves its transaction open, the disk was full or the file stayed locked for too long.
            // Closing the connection rolls the transaction back, so nothing was written.
            var isOpen = writer is { IsInTransaction: true };
            Close(ref writer);
            if (isOpen)
            {
                throw new UnavailableException(fault);
            }

            throw;
        }
    }

    public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken) =>
        ReadAsync(ref reader, group, static (line, item) => item.Answer = line.Read(item.Question), cancellationToken);

    public Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken) =>
        ReadAsync(ref ranges, group, static (line, item) => line.Read(item.Question, item.Answer), cancellationToken);

    public ValueTask DisposeAsync()
    {
        Close(ref writer);
        Close(ref reader);
        Close(ref ranges);
        return ValueTask.CompletedTask;
    }

    private Task ReadAsync<TItem>(ref PreparedConnection? line, IReadOnlyList<TItem> group, Action<PreparedConnection, TItem> read, CancellationToken cancellationToken)
    {
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            line ??= new(dataSource, serviceId);
            dataSource.ThrowIfMoved();
            foreach (var item in group)
            {
                read(line, item);
            }

            return Task.CompletedTask;
        }
        catch (Exception fault)
        {
            Close(ref line);
            throw fault is SqliteException ? new GroupRefusedException(fault) : fault;
        }
    }

    private static void Close(ref PreparedConnection? line)
    {
        var closing = line;
        line = null;
        closing?.Dispose();
    }

    /// <summary>One connection that is held open, with its statements prepared.</summary>
    private sealed class PreparedConnection : IDisposable
    {
        private readonly SqliteConnection connection;
        private readonly string serviceId;
        private readonly Statement insert;
        private readonly Statement update;
        private readonly Statement move;
        private readonly Statement delete;
        private readonly Statement select;
        private readonly Statement pending;
        private readonly Statement pendingKeys;
        private readonly Statement history;

        public PreparedConnection(SqliteDataSource dataSource, string serviceId)
        {
            this.serviceId = serviceId;
            connection = (SqliteConnection)dataSource.OpenConnection();
            try
            {
                insert = Prepare(InsertText);
                update = Prepare(UpdateText);
                move = Prepare(MoveText);
                delete = Prepare(DeleteText);
                select = Prepare(SelectText);
                pending = Prepare(PendingText);
                pendingKeys = Prepare(PendingKeysText);
                history = Prepare(HistoryText);
            }
            catch
            {
                connection.Dispose();
                throw;
            }
        }

        public bool IsInTransaction => raw.sqlite3_get_autocommit(connection.Handle) == 0;

        public void Run(string text)
        {
            using var command = connection.CreateCommand();
            command.CommandText = text;
            command.ExecuteNonQuery();
        }

        public bool Write(RowWrite write)
        {
            var statement = write switch
            {
                { Version: null } => insert,
                { Payload: null } => delete,

                // SQLite rewrites an index whenever its column is set, even to the same value. So HistoryKey is set
                // only to a new key.
                { Keys.History: not null } => move,
                _ => update,
            };
            return statement.Bind(write).ExecuteNonQuery() == 1;
        }

        public StoredRow? Read(RowKey row)
        {
            using var found = select.Bind(new RowWrite(row, null, null)).ExecuteReader();
            return found.Read() ? new(Payload(found, 0), found.GetInt32(1)) : null;
        }

        public void Read(RowRange range, List<RangeRow> rows)
        {
            var statement = range.Index switch
            {
                RowIndex.Pending => pending,
                RowIndex.PendingKeys => pendingKeys,
                _ => history,
            };
            using var found = statement.Bind(range).ExecuteReader();
            while (found.Read())
            {
                rows.Add(new(found.GetString(0), Payload(found, 1)));
            }
        }

        public void Dispose()
        {
            // Without the rollback the pool would keep the transaction open, and with it the lock on the whole file.
            using (connection)
            {
                if (IsInTransaction)
                {
                    Run("ROLLBACK");
                }
            }
        }

        private static byte[]? Payload(SqliteDataReader row, int column) => row.IsDBNull(column) ? null : row.GetFieldValue<byte[]>(column);

        private Statement Prepare(string text)
        {
            var command = connection.CreateCommand();
            command.CommandText = text;
            command.Parameters.AddWithValue("@service", serviceId);
            return new(command);
        }
    }

    private sealed class Statement
    {
        private readonly SqliteCommand command;
        private readonly SqliteParameter? keyHash;
        private readonly SqliteParameter? typeHash;
        private readonly SqliteParameter? key;
        private readonly SqliteParameter? type;
        private readonly SqliteParameter? payload;
        private readonly SqliteParameter? version;
        private readonly SqliteParameter? next;
        private readonly SqliteParameter? history;
        private readonly SqliteParameter? pending;
        private readonly SqliteParameter? after;
        private readonly SqliteParameter? before;
        private readonly SqliteParameter? count;

        public Statement(SqliteCommand command)
        {
            this.command = command;
            keyHash = Add("@keyhash", SqliteType.Integer);
            typeHash = Add("@typehash", SqliteType.Integer);
            key = Add("@key", SqliteType.Text);
            type = Add("@type", SqliteType.Text);
            payload = Add("@payload", SqliteType.Blob);
            version = Add("@version", SqliteType.Integer);
            next = Add("@next", SqliteType.Integer);
            history = Add("@history", SqliteType.Text);
            pending = Add("@pending", SqliteType.Text);
            after = Add("@after", SqliteType.Text);
            before = Add("@before", SqliteType.Text);
            count = Add("@count", SqliteType.Integer);
            command.Prepare();
        }

        public SqliteCommand Bind(RowWrite write)
        {
            keyHash?.Value = write.Row.KeyHash;
            typeHash?.Value = write.Row.TypeHash;
            key?.Value = write.Row.Key;
            type?.Value = write.Row.Type;
            payload?.Value = (object?)write.Payload ?? DBNull.Value;
            version?.Value = (object?)write.Version ?? DBNull.Value;
            next?.Value = write.Next;
            history?.Value = (object?)write.Keys.History ?? DBNull.Value;
            pending?.Value = (object?)write.Keys.Pending ?? DBNull.Value;
            return command;
        }

        public SqliteCommand Bind(RowRange range)
        {
            after?.Value = range.After;
            before?.Value = range.Before;
            count?.Value = range.Count;
            return command;
        }

        // Matches whole names only: @key is not in @keyhash.
        private SqliteParameter? Add(string name, SqliteType type) =>
            System.Text.RegularExpressions.Regex.IsMatch(command.CommandText, $@"{name}\b") ? command.Parameters.Add(name, type) : null;
    }
}
