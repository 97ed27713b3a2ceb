using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace Recognize.Orleans.Benchmarks;

/// <summary>Who of the silos is sent a request.</summary>
internal enum Policy
{
    /// <summary>The one that the shipped configuration chooses: the same for each user and each operation.</summary>
    Hashing,

    /// <summary>The one with the fewest requests on their way.</summary>
    Blind,
}

/// <summary>nginx with the configuration that docker-compose.yml ships, on loopback. One process, so that its processor time is told apart.</summary>
internal sealed partial class Balancer : IDoor, IAsyncDisposable
{
    private const string Program = "/usr/sbin/nginx";

    private readonly string folder;
    private readonly Process process;
    private readonly IReadOnlyList<Server> servers;

    private Balancer(string folder, Process process, int port, IReadOnlyList<Server> servers)
    {
        this.folder = folder;
        this.process = process;
        this.servers = servers;
        EndPoint = new(IPAddress.Loopback, port);
        Headers = $"Host: 127.0.0.1:{port}\r\nX-Api-Key: {servers[0].ApiKey}\r\nAccept: application/json\r\n";
    }

    public static bool IsThere => File.Exists(Program);

    public IPEndPoint EndPoint { get; }

    public string Headers { get; }

    public static async Task<Balancer> StartAsync(IReadOnlyList<Server> servers, Policy policy, CancellationToken cancellationToken)
    {
        var folder = Directory.CreateTempSubdirectory("recognize-balancer").FullName;
        var port = FreePort.Next();
        var shipped = Shipped(await File.ReadAllTextAsync(Launch.InRepository("docker-compose.yml"), cancellationToken));
        await File.WriteAllTextAsync(Path.Combine(folder, "balancer.conf"), With(shipped, port, [.. servers.Select(server => server.EndPoint)], policy), cancellationToken);
        await File.WriteAllTextAsync(Path.Combine(folder, "nginx.conf"), Around, cancellationToken);
        var balancer = new Balancer(folder, Process.Start(Program, ["-p", folder, "-c", "nginx.conf", "-e", "error.log"]), port, servers);
        try
        {
            await balancer.WaitUntilListeningAsync(cancellationToken);
            return balancer;
        }
        catch
        {
            await balancer.DisposeAsync();
            throw;
        }
    }

    public TimeSpan? CpuTime()
    {
        process.Refresh();
        return process.HasExited ? throw Failure("ended") : process.TotalProcessorTime;
    }

    public BenchmarkException Failure(string what)
    {
        var log = Path.Combine(folder, "error.log");
        return new($"The balancer {what}. It printed:\n{(File.Exists(log) ? File.ReadAllText(log) : "")}\n{string.Join('\n', servers.Select(server => server.Failure("stands behind it").Message))}");
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill();
            await process.WaitForExitAsync();
        }

        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    /// <summary>The configuration as the container gets it.</summary>
    private static string Shipped(string compose)
    {
        var lines = compose.Split('\n').SkipWhile(line => line.TrimEnd() is not "configs:").SkipWhile(line => line.Trim() is not "content: |").Skip(1).ToList();
        var indent = lines[0].Length - lines[0].TrimStart().Length;
        return string.Join('\n', lines.TakeWhile(line => line.Trim().Length == 0 || line.StartsWith(new string(' ', indent), StringComparison.Ordinal)).Select(line => line.Length > indent ? line[indent..] : ""))
            .Replace("$$", "$", StringComparison.Ordinal);
    }

    private static string With(string shipped, int port, IReadOnlyList<IPEndPoint> silos, Policy policy)
    {
        if (!Choice().IsMatch(shipped))
        {
            throw new BenchmarkException("The balancer's configuration in docker-compose.yml has no hash.");
        }

        // The first line that names a silo stands for all of them.
        var first = Silo().Match(shipped);
        var others = Silo().Replace(shipped, line => line.Index == first.Index ? string.Join('\n', silos.Select(silo => $"server {silo} {line.Groups["options"].Value};")) : "");
        var listening = others.Replace("listen 8080;", $"listen 127.0.0.1:{port};", StringComparison.Ordinal);
        return policy is Policy.Hashing ? listening : Choice().Replace(listening, "least_conn;");
    }

    private async Task WaitUntilListeningAsync(CancellationToken cancellationToken)
    {
        while (!process.HasExited)
        {
            try
            {
                using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync(EndPoint, cancellationToken);
                return;
            }
            catch (SocketException)
            {
                await Task.Delay(10, cancellationToken);
            }
        }

        throw Failure("does not start");
    }

    // What the image's own nginx.conf has, for one process and with folders that this user may write to. The connections of the load
    // generator are kept for as many requests as it sends.
    private static string Around => $$"""
        {{(Environment.IsPrivilegedProcess ? "user root;" : "")}}
        daemon off;
        master_process off;
        pid nginx.pid;
        error_log error.log warn;
        events {
          worker_connections 4096;
        }
        http {
          access_log off;
          keepalive_requests 1000000000;
          client_body_temp_path temp-body;
          proxy_temp_path temp-proxy;
          fastcgi_temp_path temp-fastcgi;
          uwsgi_temp_path temp-uwsgi;
          scgi_temp_path temp-scgi;
          include balancer.conf;
        }
        """;

    [GeneratedRegex(@"\bhash \$\w+ consistent;")]
    private static partial Regex Choice();

    [GeneratedRegex(@"server \S+:8080 (?<options>[^;]*);")]
    private static partial Regex Silo();
}
