using System.Data.Common;

namespace Recognize.Orleans.Storage;

/// <summary>
/// One connection that is held open outside the pool, for statements that follow each other. Closing it ends its
/// session, so a broken session is never reused. A connection that died while it was idle is noticed before a statement
/// is sent.
/// </summary>
/// <param name="database">The database to connect to.</param>
/// <param name="clock">Measures how long the connection was idle.</param>
internal sealed class HeldConnection(Database database, TimeProvider clock) : IAsyncDisposable
{
    private const int ProbeSeconds = 1;

    // A firewall drops a connection without notice, and if the server closes one, only the next statement finds out.
    private static readonly TimeSpan Fresh = TimeSpan.FromSeconds(1);

    private DbConnection? connection;
    private int generation;
    private int idleGeneration;
    private long answered;

    /// <summary>
    /// The connection. It is opened again if there is none, if it does not answer, or if its session was given up.
    /// </summary>
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

    /// <summary>Records that the server has answered a statement.</summary>
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
            // If one connection died unnoticed, the other idle ones have too. They need not find out one after the
            // other.
            database.DropIdle();
            return false;
        }
    }
}
