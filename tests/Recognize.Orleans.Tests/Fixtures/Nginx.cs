using System.Diagnostics;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.RegularExpressions;
using Recognize.Orleans.Deployment;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>A real nginx with the configuration of docker-compose.yml, in which only addresses and ports are replaced.</summary>
internal sealed partial class Nginx : IAsyncDisposable
{
    /// <summary>The header in which it names the addresses that it has asked, the last one of which gave the answer.</summary>
    public const string Asked = "X-Upstream";

    /// <summary>Whose certificate it shows, in place of the one that an operator mounts.</summary>
    public const string CertificateName = "api.example";

    private const string TlsFolder = "/etc/nginx/tls/";

    private const string Program = "/usr/sbin/nginx";

    private readonly string folder;
    private readonly Process process;
    private readonly Task<List<string>> log;

    private Nginx(string folder, Process process, List<string> log, Uri url)
    {
        this.folder = folder;
        this.process = process;
        this.log = ReadAsync(process, log);
        Url = url;
    }

    /// <summary>Why tests with it cannot run here, as a sentence; null when they can.</summary>
    public static string? WhyUnavailable => File.Exists(Program) ? null : $"Install nginx ({Program}, Debian's package nginx) to run this test.";

    public Uri Url { get; }

    /// <summary>Starts it and waits until it listens; skips the test where it is not installed.</summary>
    /// <param name="silos">The three that stand for those of the file.</param>
    /// <param name="tls">Whether it asks for TLS, as the file has it. Without it, tests can send and see raw requests.</param>
    public static async Task<Nginx> StartAsync(IReadOnlyList<Uri> silos, bool tls = false)
    {
        Skip.If(WhyUnavailable is not null, WhyUnavailable);
        var folder = Directory.CreateTempSubdirectory("recognize-nginx").FullName;
        var port = FreePorts.Next();
        await WriteAsync(folder, port, silos, tls);
        var process = Start(folder);
        var log = new List<string>();
        while (await process.StandardError.ReadLineAsync().WaitAsync(ServiceProcess.Patience) is { } line)
        {
            log.Add(line);
            if (line.Contains("start worker processes", StringComparison.Ordinal))
            {
                return new(folder, process, log, new($"{(tls ? "https" : "http")}://127.0.0.1:{port}"));
            }
        }

        throw new InvalidOperationException($"nginx did not start:\n{string.Join('\n', log)}");
    }

    /// <summary>Asks it what it makes of the configuration.</summary>
    public static async Task<(int ExitCode, string Said)> CheckAsync(IReadOnlyList<Uri> silos)
    {
        Skip.If(WhyUnavailable is not null, WhyUnavailable);
        var folder = Directory.CreateTempSubdirectory("recognize-nginx").FullName;
        await WriteAsync(folder, FreePorts.Next(), silos, tls: true);
        using var process = Start(folder, "-t");
        var said = await process.StandardError.ReadToEndAsync();
        await process.WaitForExitAsync();
        Directory.Delete(folder, recursive: true);
        return (process.ExitCode, said);
    }

    /// <summary>Stops it, and returns every line of its error log.</summary>
    public async Task<IReadOnlyList<string>> StopAsync()
    {
        if (!process.HasExited)
        {
            // Its workers would outlive a master that is killed.
            await Signals.SendAsync("TERM", process.Id);
        }

        await process.WaitForExitAsync().WaitAsync(ServiceProcess.Patience);
        return await log.WaitAsync(ServiceProcess.Patience);
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        process.Dispose();
        Directory.Delete(folder, recursive: true);
    }

    // A worker that cannot write a line stands still with all its clients, and the pipe holds some two hundred lines.
    private static async Task<List<string>> ReadAsync(Process process, List<string> log)
    {
        while (await process.StandardError.ReadLineAsync() is { } line)
        {
            log.Add(line);
        }

        return log;
    }

    // -e is the log until the configuration has been read.
    private static Process Start(string folder, params string[] args) =>
        Process.Start(new ProcessStartInfo(Program, ["-p", folder, "-c", "nginx.conf", "-e", "stderr", .. args]) { RedirectStandardError = true })!;

    private static async Task WriteAsync(string folder, int port, IReadOnlyList<Uri> silos, bool tls)
    {
        var remaining = new Queue<Uri>(silos);
        var shipped = Server().Replace(Listen().Replace(ComposeTests.Balancer, $"listen 127.0.0.1:{port}{(tls ? " ssl" : "")};"), _ => $"server {remaining.Dequeue().Authority} ")
            .Replace(TlsFolder, $"{folder}/", StringComparison.Ordinal);
        Assert.Empty(remaining);
        await WriteCertificateAsync(folder);
        await File.WriteAllTextAsync(Path.Combine(folder, "balancer.conf"), shipped);

        // With folders that this user may write to. Only root may name a user, and its workers would be another one, who
        // may not enter the folder. How many files a process may open is the machine's to say.
        var main = ComposeTests.Nginx
            .Replace("user nginx;", $"{(Environment.IsPrivilegedProcess ? "user root;" : "")}\ndaemon off;", StringComparison.Ordinal)
            .Replace("worker_processes auto;", "worker_processes 2;", StringComparison.Ordinal)
            .Replace("worker_rlimit_nofile 65536;", "", StringComparison.Ordinal)
            .Replace("worker_connections 32768;", "worker_connections 8192;", StringComparison.Ordinal)
            .Replace("/run/nginx.pid", "nginx.pid", StringComparison.Ordinal)
            .Replace("error_log /dev/stderr crit;", "error_log stderr notice;", StringComparison.Ordinal)
            .Replace("include /etc/nginx/conf.d/*.conf;", $$"""
                client_body_temp_path temp-body;
                proxy_temp_path temp-proxy;
                fastcgi_temp_path temp-fastcgi;
                uwsgi_temp_path temp-uwsgi;
                scgi_temp_path temp-scgi;
                add_header {{Asked}} $upstream_addr always;
                include balancer.conf;
                """, StringComparison.Ordinal);
        await File.WriteAllTextAsync(Path.Combine(folder, "nginx.conf"), main);
    }

    private static async Task WriteCertificateAsync(string folder)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest($"CN={CertificateName}", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        await File.WriteAllTextAsync(Path.Combine(folder, "tls.crt"), certificate.ExportCertificatePem());
        await File.WriteAllTextAsync(Path.Combine(folder, "tls.key"), key.ExportPkcs8PrivateKeyPem());
    }

    [GeneratedRegex("listen 8443 ssl;")]
    private static partial Regex Listen();

    [GeneratedRegex(@"server [0-9.]+:8080 ")]
    private static partial Regex Server();
}
