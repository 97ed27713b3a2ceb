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
            (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, OwnerKey, OpenKey, DueKey)
        VALUES (@keyhash, 0, 0, @typehash, @type, @key, @service, @payload, {Now}, @next, @owner, @open, @due)
        ON CONFLICT DO NOTHING
        """;

    private const string Changes = $"PayloadBinary = @payload, ModifiedOn = {Now}, Version = @next, OpenKey = @open, DueKey = @due";

    private const string UpdateText = $"UPDATE OrleansStorage SET {Changes} WHERE {Identity} AND Version = @version AND OwnerKey IS @owner";

    private const string MoveText = $"UPDATE OrleansStorage SET {Changes}, OwnerKey = @owner WHERE {Identity} AND Version = @version";

    private const string DeleteText = $"DELETE FROM OrleansStorage WHERE {Identity} AND Version = @version";

    private const string SelectText = $"SELECT PayloadBinary, Version FROM OrleansStorage WHERE {Identity}";

    private static readonly Parameter<RowWrite>[] WriteParameters =
    [
        .. RowParameters<RowWrite>(write => write.Row),
        new("@payload", SqliteType.Blob, write => write.Payload),
        new("@next", SqliteType.Integer, write => write.Next),
        new("@owner", SqliteType.Text, write => write.Keys.Owner),
        new("@open", SqliteType.Text, write => write.Keys.Open),
        new("@due", SqliteType.Text, write => write.Keys.Due),
    ];

    private static readonly Parameter<RowWrite> VersionParameter = new("@version", SqliteType.Integer, write => write.Version);

    private static readonly Parameter<RowRange>[] RangeParameters =
    [
        new("@after", SqliteType.Text, range => range.After),
        new("@before", SqliteType.Text, range => range.Before),
        new("@count", SqliteType.Integer, range => range.Count),
    ];

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

    internal static string RangeText(RangeKind kind)
    {
        var part = kind.Part switch
        {
            RowPart.None => "NULL, NULL",
            RowPart.GrainKey => "GrainIdExtensionString, NULL",
            _ => "NULL, PayloadBinary",
        };
        return $"""
            SELECT {kind.Column}, {part} FROM OrleansStorage
            WHERE ServiceId = @service AND {kind.Column} > @after AND {kind.Column} < @before ORDER BY {kind.Column} {kind.Order} LIMIT @count
            """;
    }

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

    private static Parameter<TItem>[] RowParameters<TItem>(Func<TItem, RowKey> row) =>
    [
        new("@keyhash", SqliteType.Integer, item => row(item).KeyHash),
        new("@typehash", SqliteType.Integer, item => row(item).TypeHash),
        new("@key", SqliteType.Text, item => row(item).Key),
        new("@type", SqliteType.Text, item => row(item).Type),
    ];

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
        private readonly Statement<RowWrite> insert;
        private readonly Statement<RowWrite> update;
        private readonly Statement<RowWrite> move;
        private readonly Statement<RowWrite> delete;
        private readonly Statement<RowKey> select;
        private readonly Dictionary<RangeKind, Statement<RowRange>> ranges = [];

        public PreparedConnection(SqliteDataSource dataSource, string serviceId)
        {
            this.serviceId = serviceId;
            connection = (SqliteConnection)dataSource.OpenConnection();
            try
            {
                insert = Prepare(InsertText, WriteParameters);
                update = Prepare(UpdateText, [.. WriteParameters, VersionParameter]);
                move = Prepare(MoveText, [.. WriteParameters, VersionParameter]);
                delete = Prepare(DeleteText, [.. RowParameters<RowWrite>(write => write.Row), VersionParameter]);
                select = Prepare(SelectText, RowParameters<RowKey>(row => row));
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

        public bool Write(RowWrite write) => write switch
        {
            { Version: null } => insert.Changes(write),
            { Payload: null } => delete.Changes(write),

            // SQLite rewrites an index whenever its column is set, even to the same value, and an owner key rarely
            // changes.
            _ => update.Changes(write) || move.Changes(write),
        };

        public StoredRow? Read(RowKey row)
        {
            using var found = select.Read(row);
            return found.Read() ? new(Payload(found, 0), found.GetInt32(1)) : null;
        }

        public void Read(RowRange range, List<RangeRow> rows)
        {
            if (!ranges.TryGetValue(range.Kind, out var statement))
            {
                ranges.Add(range.Kind, statement = Prepare(RangeText(range.Kind), RangeParameters));
            }

            using var found = statement.Read(range);
            while (found.Read())
            {
                rows.Add(new(found.GetString(0), found.IsDBNull(1) ? null : found.GetString(1), Payload(found, 2)));
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

        private Statement<TItem> Prepare<TItem>(string text, Parameter<TItem>[] parameters)
        {
            var command = connection.CreateCommand();
            command.CommandText = text;
            command.Parameters.AddWithValue("@service", serviceId);
            return new(command, parameters);
        }
    }

    /// <param name="Name">The name in the statement.</param>
    /// <param name="Type">The type of the column.</param>
    /// <param name="Value">Gets the value of an item.</param>
    private sealed record Parameter<TItem>(string Name, SqliteType Type, Func<TItem, object?> Value);

    private sealed class Statement<TItem>
    {
        private readonly SqliteCommand command;
        private readonly (SqliteParameter Parameter, Func<TItem, object?> Value)[] values;

        public Statement(SqliteCommand command, Parameter<TItem>[] parameters)
        {
            this.command = command;
            values = [.. parameters.Select(parameter => (command.Parameters.Add(parameter.Name, parameter.Type), parameter.Value))];
            command.Prepare();
        }

        /// <summary>Whether it changes a row.</summary>
        public bool Changes(TItem item) => With(item).ExecuteNonQuery() == 1;

        public SqliteDataReader Read(TItem item) => With(item).ExecuteReader();

        private SqliteCommand With(TItem item)
        {
            foreach (var (parameter, value) in values)
            {
                parameter.Value = value(item) ?? DBNull.Value;
            }

            return command;
        }
    }
}
