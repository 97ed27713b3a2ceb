using System.Data.Common;
using Microsoft.Data.SqlClient;

namespace Recognize.Orleans.Storage.SqlServer;

/// <summary>
/// Pooled connections to SQL Server. A server that comes back is noticed at once, and an exhausted pool is an outage,
/// not a program error.
/// </summary>
internal sealed class SqlServerDataSource(string connectionString) : DbDataSource
{
    private readonly string connectionString = WithDefaults(connectionString);

    public override string ConnectionString => connectionString;

    protected override DbConnection CreateDbConnection() => new SqlConnection(connectionString);

    protected override DbConnection OpenDbConnection()
    {
        var connection = new SqlConnection(connectionString);
        try
        {
            connection.Open();
            return connection;
        }
        catch (Exception fault) when (IsUsedUp(fault))
        {
            connection.Dispose();
            throw NoneFree(fault);
        }
        catch
        {
            connection.Dispose();
            throw;
        }
    }

    protected override async ValueTask<DbConnection> OpenDbConnectionAsync(CancellationToken cancellationToken = default)
    {
        var connection = new SqlConnection(connectionString);
        try
        {
            await connection.OpenAsync(cancellationToken);
            return connection;
        }
        catch (Exception fault) when (IsUsedUp(fault))
        {
            await connection.DisposeAsync();
            throw NoneFree(fault);
        }
        catch
        {
            await connection.DisposeAsync();
            throw;
        }
    }

    /// <summary>Closes the idle connections of the pool.</summary>
    public void ClearPool()
    {
        using var connection = new SqlConnection(connectionString);
        SqlConnection.ClearPool(connection);
    }

    /// <summary>Closes the idle connections of the pool, so that the database can be dropped.</summary>
    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            ClearPool();
        }

        base.Dispose(disposing);
    }

    protected override ValueTask DisposeAsyncCore()
    {
        Dispose(disposing: true);
        return base.DisposeAsyncCore();
    }

    // If no connection was free within Connect Timeout, the driver throws the exception type of a program error.
    private static bool IsUsedUp(Exception fault) => fault is InvalidOperationException and not ObjectDisposedException;

    private static TimeoutException NoneFree(Exception fault) => new(fault.Message, fault);

    private static string WithDefaults(string connectionString)
    {
        var builder = new SqlConnectionStringBuilder(connectionString);

        // By default the driver repeats a failed login for up to a minute without asking the server again, which
        // prolongs every outage.
        if (!builder.ShouldSerialize("Pool Blocking Period"))
        {
            builder.PoolBlockingPeriod = PoolBlockingPeriod.NeverBlock;
        }

        // Orleans gives up a call after ten seconds. A server that does not answer must be noticed by then.
        if (!builder.ShouldSerialize("Connect Timeout"))
        {
            builder.ConnectTimeout = 5;
        }

        if (!builder.ShouldSerialize("Command Timeout"))
        {
            builder.CommandTimeout = 10;
        }

        // The driver would wait ten seconds between two attempts.
        if (!builder.ShouldSerialize("Connect Retry Interval"))
        {
            builder.ConnectRetryInterval = 1;
        }

        return builder.ConnectionString;
    }
}
