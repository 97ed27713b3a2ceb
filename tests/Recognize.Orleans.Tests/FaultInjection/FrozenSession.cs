using System.Globalization;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.FaultInjection;

/// <summary>A session of PostgreSQL that stands still where it is: the process of the server that serves it is stopped.</summary>
internal sealed class FrozenSession : IAsyncDisposable
{
    private readonly int processId;

    private FrozenSession(int processId) => this.processId = processId;

    /// <summary>Freezes the session of the client's port; skips the test where the server's processes cannot be sent signals.</summary>
    public static async Task<FrozenSession> OfAsync(TestDatabase database, int clientPort)
    {
        var session = Assert.Single(await database.QueryAsync($"SELECT pid FROM pg_stat_activity WHERE client_port = {clientPort}"));
        var processId = Convert.ToInt32(session["pid"], CultureInfo.InvariantCulture);
        Skip.IfNot(await Signals.SendAsync("STOP", processId), "PostgreSQL must run on this machine, and the tests as root, to freeze a session of it.");
        return new(processId);
    }

    /// <summary>Freezes a session of the database for a while; does nothing where that cannot be done.</summary>
    public static async Task FreezeOneAsync(TestDatabase database, Random random, TimeSpan time)
    {
        var sessions = await database.QueryAsync("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'");
        if (sessions.Count > 0 && Convert.ToInt32(sessions[random.Next(sessions.Count)]["pid"], CultureInfo.InvariantCulture) is var processId && await Signals.SendAsync("STOP", processId))
        {
            await using var session = new FrozenSession(processId);
            await Task.Delay(time);
        }
    }

    public Task ThawAsync() => Signals.SendAsync("CONT", processId);

    public async ValueTask DisposeAsync() => await ThawAsync();
}
