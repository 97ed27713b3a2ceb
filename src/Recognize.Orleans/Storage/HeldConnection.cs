using System.Data.Common;

namespace Recognize.Orleans.Storage;

/// <summary>
/// One connection that is held open outside of the pool, for statements that follow each other. A session that went wrong ends with it, and a
/// connection that died while nobody used it is noticed before a statement is sent.
/// </summary>
/// <param name="database">Where to.</param>
/// <param name="clock">Tells how long the connection was idle.</param>
internal sealed class HeldConnection(Database database, TimeProvider clock) : IAsyncDisposable
{
    private const int ProbeSeconds = 1;

    // A firewall that forgets a connection tells nobody, and a server that closes one is not heard before the next statement.
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private DbConnection? connection;
    private int generation;
    private int idleGeneration;
    private long answered;

    /// <summary>The connection, opened again if it is not there, not answering or of sessions that were given up.</summary>
    /// <returns>The connection, and whether nothing is prepared on it yet.</returns>
    public async ValueTask<(DbConnection Connection, bool IsNew)> OpenAsync(CancellationToken cancellationToken)
    {
        if (connection is { } held && (generation != database.SessionGeneration || !await IsAliveAsync(held, cancellationToken)))
        {
            await DisposeAsync();
        }

        if (connection is not null)
        {
            return (connection, false);
        }

        (generation, idleGeneration) = (database.SessionGeneration, database.IdleGeneration);
        connection = await database.OpenHeldAsync(cancellationToken);
        Answered();
        return (connection, true);
    }

    /// <summary>Tells of a statement that the server has answered.</summary>
    public void Answered() => answered = clock.GetTimestamp();

    public async ValueTask DisposeAsync()
    {
        if (connection is { } closing)
        {
            connection = null;
            await closing.DisposeAsync();
        }
    }

    private async ValueTask<bool> IsAliveAsync(DbConnection held, CancellationToken cancellationToken)
    {
        if (clock.GetElapsedTime(answered) < Fresh)
        {
            return true;
        }

        if (idleGeneration != database.IdleGeneration)
        {
            return false;
        }

        try
        {
            await using var probe = held.CreateCommand();
            probe.CommandText = "SELECT 1";
            probe.CommandTimeout = ProbeSeconds;
            await probe.ExecuteScalarAsync(cancellationToken);
            Answered();
            return true;
        }
        catch (Exception fault) when (fault is DbException or InvalidOperationException or IOException or TimeoutException)
        {
            // Where one died unnoticed, the others have too: they need not find out one after the other.
            database.DropIdle();
            return false;
        }
    }
}
