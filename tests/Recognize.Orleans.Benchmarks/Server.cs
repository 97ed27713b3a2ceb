using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace Recognize.Orleans.Benchmarks;

/// <summary>A server process on loopback, with a database of its own. Disposing it ends the process and removes the database.</summary>
internal sealed class Server : IAsyncDisposable
{
    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(60);

    // What a developer has set for other purposes must not decide what is measured.
    private static readonly string[] NotInherited = ["ASPNETCORE_", "DOTNET_ENVIRONMENT", "DOTNET_gc", "DOTNET_Tiered", "Recognize__", "ConnectionStrings__", "Logging__", "Kestrel__", "OTEL_"];

    private readonly Process process;
    private readonly BenchmarkDatabase database;
    private readonly Uri readyUrl;
    private readonly StringBuilder output = new();

    private Server(Contestant contestant, Launch launch, BenchmarkDatabase database)
    {
        this.database = database;
        Contestant = contestant;
        EndPoint = new(IPAddress.Loopback, launch.ApiPort);
        Headers = $"Host: 127.0.0.1:{launch.ApiPort}\r\nX-Api-Key: {launch.ApiKey}\r\nAccept: application/json\r\n";
        var command = contestant.Command(launch);
        readyUrl = new Uri(command.ReadyUrl);
        process = new Process { StartInfo = StartInfo(command) };
        process.OutputDataReceived += (_, line) => Keep(line.Data);
        process.ErrorDataReceived += (_, line) => Keep(line.Data);
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
    }

    public Contestant Contestant { get; }

    public IPEndPoint EndPoint { get; }

    /// <summary>The header lines that every request carries.</summary>
    public string Headers { get; }

    public static async Task<Server> StartAsync(Contestant contestant, string engine, Options options, CancellationToken cancellationToken)
    {
        var database = await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken);
        Server? server = null;
        try
        {
            server = new Server(contestant, new Launch(engine, database.ConnectionString, RandomNumberGenerator.GetHexString(64, lowercase: true)), database);
            await server.WaitUntilReadyAsync(cancellationToken);
            return server;
        }
        catch
        {
            await (server?.DisposeAsync() ?? database.DisposeAsync());
            throw;
        }
    }

    /// <summary>User and system time of the process so far; null where the system does not tell it in <c>/proc</c>.</summary>
    public TimeSpan? CpuTime()
    {
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }

        // Reads /proc/<pid>/stat.
        process.Refresh();
        return process.HasExited ? throw Failure("ended") : process.TotalProcessorTime;
    }

    /// <summary>A failure of this server, with what it printed last.</summary>
    public BenchmarkException Failure(string what)
    {
        lock (output)
        {
            return new BenchmarkException($"The server '{Contestant.Name}' {what}. It printed:\n{output}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        // By its own id, and not gently: its database goes with it.
        if (!process.HasExited)
        {
            process.Kill();
            await process.WaitForExitAsync();
        }

        process.Dispose();
        await database.DisposeAsync();
    }

    private static ProcessStartInfo StartInfo(Command command)
    {
        var start = new ProcessStartInfo(Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) is "dotnet" ? host : "dotnet")
        {
            // Settings files are looked for in the working directory.
            WorkingDirectory = Path.GetDirectoryName(command.Program),
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.ArgumentList.Add(command.Program);
        foreach (var argument in command.Arguments)
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var name in start.Environment.Keys.Where(name => NotInherited.Any(prefix => name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))).ToList())
        {
            start.Environment.Remove(name);
        }

        start.Environment["ASPNETCORE_ENVIRONMENT"] = "Production";
        foreach (var (name, value) in command.Variables)
        {
            start.Environment[name] = value;
        }

        return start;
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        var started = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(started) < LongestStart)
        {
            if (process.HasExited)
            {
                throw Failure($"ended at its start with {process.ExitCode}");
            }

            try
            {
                using var answer = await client.GetAsync(readyUrl, cancellationToken);
                if (answer.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (Exception fault) when (fault is HttpRequestException || (fault is TaskCanceledException && !cancellationToken.IsCancellationRequested))
            {
            }

            await Task.Delay(100, cancellationToken);
        }

        throw Failure($"was not ready after {LongestStart.TotalSeconds:F0} s");
    }

    private void Keep(string? line)
    {
        const int Most = 10_000;
        lock (output)
        {
            output.AppendLine(line);
            if (output.Length > Most)
            {
                output.Remove(0, output.Length - Most);
            }
        }
    }
}

internal static class FreePort
{
    private static readonly HashSet<int> Given = [];

    /// <summary>A port of loopback that nobody listens on, never the same twice.</summary>
    public static int Next()
    {
        while (true)
        {
            using var listener = new TcpListener(IPAddress.Loopback, 0);
            listener.Start();
            var port = ((IPEndPoint)listener.LocalEndpoint).Port;
            if (Given.Add(port))
            {
                return port;
            }
        }
    }
}
