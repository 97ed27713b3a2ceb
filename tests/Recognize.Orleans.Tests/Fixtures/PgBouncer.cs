using System.Diagnostics;
using Npgsql;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>A real PgBouncer in front of a PostgreSQL database.</summary>
internal sealed class PgBouncer : IAsyncDisposable
{
    private const string Program = "/usr/sbin/pgbouncer";

    private readonly string folder;
    private readonly Process process;

    private PgBouncer(string folder, Process process, string connectionString)
    {
        this.folder = folder;
        this.process = process;
        ConnectionString = connectionString;
    }

    public string ConnectionString { get; }

    /// <summary>Starts it and waits until it listens; skips the test where it is not installed.</summary>
    /// <param name="database">Where it leads.</param>
    /// <param name="poolMode">For how long a client has a session of the server: <c>session</c>, <c>transaction</c> or <c>statement</c>.</param>
    public static async Task<PgBouncer> StartAsync(TestDatabase database, string poolMode)
    {
        Skip.If(database.Engine is not StorageEngine.PostgreSql || !File.Exists(Program), $"Install PgBouncer ({Program}, Debian's package pgbouncer) to run this test.");
        var settings = new NpgsqlConnectionStringBuilder(database.ConnectionString);
        var folder = Directory.CreateTempSubdirectory("recognize-pgbouncer").FullName;
        var port = FreePorts.Next();
        await File.WriteAllTextAsync(Path.Combine(folder, "pgbouncer.ini"), $"""
            [databases]
            * = host={settings.Host} port={settings.Port} user={settings.Username}{(settings.Password is { } password ? $" password={password}" : "")}
            [pgbouncer]
            listen_addr = 127.0.0.1
            listen_port = {port}
            unix_socket_dir =
            auth_type = any
            pool_mode = {poolMode}
            ignore_startup_parameters = extra_float_digits
            """);

        // It refuses to run as root.
        var start = new ProcessStartInfo(Environment.IsPrivilegedProcess ? "setpriv" : Program) { RedirectStandardError = true };
        string[] user = Environment.IsPrivilegedProcess ? ["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--", Program] : [];
        Array.ForEach([.. user, Path.Combine(folder, "pgbouncer.ini")], start.ArgumentList.Add);
        if (Environment.IsPrivilegedProcess && !OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(folder, UnixFileMode.UserRead | UnixFileMode.UserExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute);
        }

        var process = Process.Start(start)!;
        while (await process.StandardError.ReadLineAsync().WaitAsync(ServiceProcess.Patience) is { } line && !line.Contains("listening on", StringComparison.Ordinal))
        {
        }

        (settings.Host, settings.Port, settings.SslMode) = ("127.0.0.1", port, SslMode.Disable);
        return new(folder, process, settings.ConnectionString);
    }

    public async ValueTask DisposeAsync()
    {
        process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }
}
