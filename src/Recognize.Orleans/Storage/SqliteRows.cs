using System.Data.Common;
using Microsoft.Data.Sqlite;
using SQLitePCL;

namespace Recognize.Orleans.Storage;

/// <summary>Groups on SQLite: one writer with prepared statements, one commit.</summary>
internal sealed class SqliteRows(DbDataSource dataSource, string serviceId) : IRows
{
    private const string Identity = "GrainIdHash = @keyhash AND GrainTypeHash = @typehash AND GrainIdExtensionString = @key AND GrainTypeString = @type AND ServiceId = @service";

    private const string InsertText = """
        INSERT INTO OrleansStorage
            (GrainIdHash, GrainIdN0, GrainIdN1, GrainTypeHash, GrainTypeString, GrainIdExtensionString, ServiceId, PayloadBinary, ModifiedOn, Version, HistoryKey)
        VALUES (@keyhash, 0, 0, @typehash, @type, @key, @service, @payload, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), @next, @history)
        ON CONFLICT DO NOTHING
        """;

    private const string UpdateText =
        $"UPDATE OrleansStorage SET PayloadBinary = @payload, ModifiedOn = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), Version = @next WHERE {Identity} AND Version = @version";

    private const string MoveText =
        $"UPDATE OrleansStorage SET HistoryKey = @history, PayloadBinary = @payload, ModifiedOn = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), Version = @next WHERE {Identity} AND Version = @version";

    private const string DeleteText = $"DELETE FROM OrleansStorage WHERE {Identity} AND Version = @version";

    private Line? writer;
    private Line? reader;

    // The driver is synchronous: the pump's thread does the work.
    public Task WriteAsync(IReadOnlyList<WriteItem> group, CancellationToken cancellationToken)
    {
        var writing = false;
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            var line = writer ??= new(dataSource, serviceId);
            line.Run("BEGIN IMMEDIATE");
            writing = true;
            foreach (var item in group)
            {
                item.Fate = Write(line, item);
            }

            writing = false;
            line.Run("COMMIT");
            return Task.CompletedTask;
        }
        catch (Exception fault)
        {
            // What keeps a transaction from beginning keeps that of every item from it: only a failed write is for one of them.
            Close(ref writer);
            throw writing ? new GroupRefusedException(fault) : fault;
        }
    }

    public Task ReadAsync(IReadOnlyList<ReadItem> group, CancellationToken cancellationToken)
    {
        try
        {
            cancellationToken.ThrowIfCancellationRequested();
            var line = reader ??= new(dataSource, serviceId);
            foreach (var item in group)
            {
                item.Found = line.Read(item.Row);
            }

            return Task.CompletedTask;
        }
        catch
        {
            Close(ref reader);
            throw;
        }
    }

    public ValueTask DisposeAsync()
    {
        Close(ref writer);
        Close(ref reader);
        return ValueTask.CompletedTask;
    }

    private static void Close(ref Line? line)
    {
        var closing = line;
        line = null;
        closing?.Dispose();
    }

    private static WriteFate Write(Line line, WriteItem item)
    {
        if (!line.Write(item.First))
        {
            return WriteFate.FirstConflicts;
        }

        if (item.Second is not { } second || line.Write(second))
        {
            return WriteFate.Written;
        }

        // Only a first row that was inserted has a second; taking it back is deleting it.
        line.TakeBack(item.First);
        return WriteFate.SecondConflicts;
    }

    /// <summary>One connection that is held open, with its statements prepared.</summary>
    private sealed class Line : IDisposable
    {
        private readonly SqliteConnection connection;
        private readonly string serviceId;
        private readonly Statement insert;
        private readonly Statement update;
        private readonly Statement move;
        private readonly Statement delete;
        private readonly Statement select;

        public Line(DbDataSource dataSource, string serviceId)
        {
            this.serviceId = serviceId;
            connection = (SqliteConnection)dataSource.OpenConnection();
            try
            {
                insert = Prepare(InsertText);
                update = Prepare(UpdateText);
                move = Prepare(MoveText);
                delete = Prepare(DeleteText);
                select = Prepare($"SELECT PayloadBinary, Version FROM OrleansStorage WHERE {Identity}");
            }
            catch
            {
                connection.Dispose();
                throw;
            }
        }

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

                // SQLite writes the index anew whenever its column is set, even to what it was.
                { HistoryKey: not null } => move,
                _ => update,
            };
            return statement.Bind(write).ExecuteNonQuery() == 1;
        }

        public void TakeBack(RowWrite inserted) => delete.Bind(inserted with { Version = inserted.Next }).ExecuteNonQuery();

        public StoredRow? Read(RowKey row)
        {
            using var found = select.Bind(new(row, null, null)).ExecuteReader();
            return found.Read() ? new(found.IsDBNull(0) ? null : found.GetFieldValue<byte[]>(0), found.GetInt32(1)) : null;
        }

        public void Dispose()
        {
            // The pool would keep the connection with its transaction open, and with it the lock of the whole file.
            using (connection)
            {
                if (raw.sqlite3_get_autocommit(connection.Handle) == 0)
                {
                    Run("ROLLBACK");
                }
            }
        }

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
        private readonly SqliteParameter keyHash;
        private readonly SqliteParameter typeHash;
        private readonly SqliteParameter key;
        private readonly SqliteParameter type;
        private readonly SqliteParameter? payload;
        private readonly SqliteParameter? version;
        private readonly SqliteParameter? next;
        private readonly SqliteParameter? history;

        public Statement(SqliteCommand command)
        {
            this.command = command;
            keyHash = Add("@keyhash", SqliteType.Integer)!;
            typeHash = Add("@typehash", SqliteType.Integer)!;
            key = Add("@key", SqliteType.Text)!;
            type = Add("@type", SqliteType.Text)!;
            payload = Add("@payload", SqliteType.Blob);
            version = Add("@version", SqliteType.Integer);
            next = Add("@next", SqliteType.Integer);
            history = Add("@history", SqliteType.Text);
            command.Prepare();
        }

        public SqliteCommand Bind(RowWrite write)
        {
            keyHash.Value = write.Row.KeyHash;
            typeHash.Value = write.Row.TypeHash;
            key.Value = write.Row.Key;
            type.Value = write.Row.Type;
            payload?.Value = (object?)write.Payload ?? DBNull.Value;
            version?.Value = (object?)write.Version ?? DBNull.Value;
            next?.Value = write.Next;
            history?.Value = (object?)write.HistoryKey ?? DBNull.Value;
            return command;
        }

        private SqliteParameter? Add(string name, SqliteType type) =>
            command.CommandText.Contains(name, StringComparison.Ordinal) ? command.Parameters.Add(name, type) : null;
    }
}
