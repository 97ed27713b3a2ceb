using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Recognize.Orleans.Benchmarks;

/// <summary>Where requests are sent.</summary>
internal interface IDoor
{
    IPEndPoint EndPoint { get; }

    /// <summary>The header lines that every request carries.</summary>
    string Headers { get; }

    /// <summary>A failure behind it, with what was printed last.</summary>
    BenchmarkException Failure(string what);
}

/// <summary>A server process on loopback. Disposing it ends the process and removes the database that was made for it.</summary>
internal sealed class Server : IDoor, IAsyncDisposable
{
    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(60);

    // What a developer has set for other purposes must not decide what is measured.
    private static readonly string[] NotInherited = ["ASPNETCORE_", "DOTNET_ENVIRONMENT", "DOTNET_gc", "DOTNET_Tiered", "Recognize__", "ConnectionStrings__", "Logging__", "Kestrel__", "OTEL_"];

    private readonly Launch launch;
    private readonly bool ownsDatabase;
    private readonly StringBuilder output = new();
    private Process process;
    private long started;

    private Server(Contestant contestant, Launch launch, BenchmarkDatabase database, bool ownsDatabase)
    {
        this.launch = launch;
        this.ownsDatabase = ownsDatabase;
        Database = database;
        Contestant = contestant;
        EndPoint = new(IPAddress.Loopback, launch.ApiPort);
        Headers = HeadersOf(launch.ApiKey);
        Door = this;
        (process, ReadyUrl, SiloPort) = Start();
    }

    public Contestant Contestant { get; }

    public BenchmarkDatabase Database { get; }

    public IPEndPoint EndPoint { get; }

    /// <summary>The header lines that every request carries.</summary>
    public string Headers { get; }

    public string ApiKey => launch.ApiKey;

    /// <summary>Where what it is to hold is sent: itself, unless it stands behind a balancer.</summary>
    public IDoor Door { get; set; }

    /// <summary>Where it says that it is ready; for the service, on its management port.</summary>
    public Uri ReadyUrl { get; private set; }

    /// <summary>Where other silos reach it; null: it is none.</summary>
    public int? SiloPort { get; private set; }

    public int ProcessId => process.Id;

    /// <summary>Since the start of the process.</summary>
    public TimeSpan Age => Stopwatch.GetElapsedTime(started);

    /// <summary>Starts a server with a fresh database.</summary>
    public static async Task<Server> StartAsync(Contestant contestant, string engine, Options options, CancellationToken cancellationToken) =>
        await StartAsync(contestant, await BenchmarkDatabase.CreateAsync(engine, options, cancellationToken), ownsDatabase: true, cancellationToken);

    /// <summary>Starts a server with a database that is there.</summary>
    /// <param name="contestant">Which.</param>
    /// <param name="database">Its database.</param>
    /// <param name="cancellationToken">Ends the start.</param>
    /// <param name="apiKey">The key of its customer; null: one of its own.</param>
    public static Task<Server> StartAsync(Contestant contestant, BenchmarkDatabase database, CancellationToken cancellationToken, string? apiKey = null) =>
        StartAsync(contestant, database, ownsDatabase: false, cancellationToken, apiKey);

    /// <summary>Runs a command that ends by itself.</summary>
    public static async Task RunToEndAsync(Command command, CancellationToken cancellationToken)
    {
        using var process = Process.Start(StartInfo(command))!;
        var printed = await Task.WhenAll(process.StandardOutput.ReadToEndAsync(cancellationToken), process.StandardError.ReadToEndAsync(cancellationToken));
        await process.WaitForExitAsync(cancellationToken);
        if (process.ExitCode != 0)
        {
            throw new BenchmarkException($"{command.Program} {string.Join(' ', command.Arguments)} ended with {process.ExitCode}. It printed:\n{string.Concat(printed)}");
        }
    }

    /// <summary>Stops it in order, as an operator does, and starts it again at the same address.</summary>
    public async Task RestartAsync(CancellationToken cancellationToken)
    {
        using (var signal = Process.Start("kill", ["-TERM", $"{process.Id}"]))
        {
            await signal.WaitForExitAsync(cancellationToken);
        }

        await process.WaitForExitAsync(cancellationToken);
        process.Dispose();
        (process, ReadyUrl, SiloPort) = Start();
        await WaitUntilReadyAsync(cancellationToken);
    }

    /// <summary>The header lines of a customer's requests.</summary>
    public string HeadersOf(string apiKey) => $"Host: 127.0.0.1:{EndPoint.Port}\r\nX-Api-Key: {apiKey}\r\nAccept: application/json\r\n";

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

    /// <summary>Resident memory of the process.</summary>
    public long Memory()
    {
        process.Refresh();
        return process.HasExited ? throw Failure("ended") : process.WorkingSet64;
    }

    /// <summary>Threads of the process.</summary>
    public int Threads()
    {
        process.Refresh();
        return process.Threads.Count;
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
        if (ownsDatabase)
        {
            await Database.DisposeAsync();
        }
    }

    private static async Task<Server> StartAsync(Contestant contestant, BenchmarkDatabase database, bool ownsDatabase, CancellationToken cancellationToken, string? apiKey = null)
    {
        var launch = Launch.At(database);
        var server = new Server(contestant, apiKey is null ? launch : new(launch.Engine, launch.ConnectionString, apiKey), database, ownsDatabase);
        try
        {
            await server.WaitUntilReadyAsync(cancellationToken);
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>How a command is started, with nothing inherited that would decide what is measured.</summary>
    public static ProcessStartInfo StartInfo(Command command)
    {
        string[] line = [.. command.By, Environment.ProcessPath is { } host && Path.GetFileNameWithoutExtension(host) is "dotnet" ? host : "dotnet", command.Program, .. command.Arguments];
        var start = new ProcessStartInfo(line[0], line[1..])
        {
            // Settings files are looked for in the working directory.
            WorkingDirectory = Path.GetDirectoryName(command.Program),
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

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

    private (Process Process, Uri ReadyUrl, int? SiloPort) Start()
    {
        var command = Contestant.Command(launch);
        var start = new Process { StartInfo = StartInfo(command) };
        start.OutputDataReceived += (_, line) => Keep(line.Data);
        start.ErrorDataReceived += (_, line) => Keep(line.Data);
        started = Stopwatch.GetTimestamp();
        start.Start();
        start.BeginOutputReadLine();
        start.BeginErrorReadLine();
        return (start, new(command.ReadyUrl), command.SiloPort);
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        using var client = new HttpClient { Timeout = TimeSpan.FromSeconds(5) };
        while (Age < LongestStart)
        {
            if (process.HasExited)
            {
                throw Failure($"ended at its start with {process.ExitCode}");
            }

            try
            {
                using var answer = await client.GetAsync(ReadyUrl, cancellationToken);
                if (answer.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (Exception fault) when (fault is HttpRequestException || (fault is TaskCanceledException && !cancellationToken.IsCancellationRequested))
            {
            }

            await Task.Delay(10, cancellationToken);
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
