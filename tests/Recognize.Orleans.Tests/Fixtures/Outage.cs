using Npgsql;

namespace Recognize.Orleans.Fixtures;

/// <summary>What a test does to a PostgreSQL database and what it holds about silos.</summary>
internal static class Outage
{
    /// <summary>Whatever silo was killed or cut off is given up at once by the next that starts, which otherwise waits some fifteen seconds for a sign of life.</summary>
    public static Task GiveSilosUpAsync(TestDatabase database) =>
        database.ExecuteAsync("UPDATE OrleansMembershipTable SET StartTime = StartTime - interval '16 seconds', IAmAliveTime = clock_timestamp() - interval '16 seconds'");

    /// <summary>Lets a database take no session any more, and ends those that it has; or lets it take them again.</summary>
    public static async Task AllowConnectionsAsync(TestDatabase database, bool allowed)
    {
        var settings = new NpgsqlConnectionStringBuilder(database.ConnectionString);
        var name = settings.Database;
        settings.Database = "postgres";
        settings.Pooling = false;
        await using var connection = new NpgsqlConnection(settings.ConnectionString);
        await connection.OpenAsync();

        // One after the other: a session that ends while the first is not committed is followed by another.
        await using var allow = new NpgsqlCommand($"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}", connection);
        await allow.ExecuteNonQueryAsync();
        await using var end = new NpgsqlCommand($"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{name}' AND NOT {allowed}", connection);
        await end.ExecuteNonQueryAsync();
    }
}
