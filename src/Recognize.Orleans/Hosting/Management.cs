using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Orleans.Dashboard;
using Recognize.Orleans.Api;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting;

/// <summary>What operators reach on the management port: health and the Orleans Dashboard.</summary>
internal static class Management
{
    public static void AddManagement(this IServiceCollection services) =>
        services.AddHealthChecks().AddCheck<Readiness>("ready");

    public static void UseManagement(this IApplicationBuilder app)
    {
        var settings = app.ApplicationServices.GetRequiredService<Settings>().Management;
        var localPorts = settings.Urls.GroupBy(url => url.Port).Where(port => port.All(Urls.IsLoopback)).Select(port => port.Key).ToHashSet();

        // A web page that the operator visits can point a name of its own at 127.0.0.1 (DNS rebinding); its requests
        // then carry that name. A request without a Host does not come from a browser: health probes with HTTP/1.0 send
        // none.
        app.Use((context, next) => !localPorts.Contains(context.Connection.LocalPort) || !context.Request.Host.HasValue || Urls.IsLoopbackHost(context.Request.Host.Host)
            ? next(context)
            : TypedResults.Text("On loopback this port answers to loopback host names only.", statusCode: StatusCodes.Status421MisdirectedRequest).ExecuteAsync(context));

        app.UseRouting();
        app.UseEndpoints(endpoints =>
        {
            endpoints.MapGet("/health/live", () => "live").AnswersHead();
            endpoints.MapHealthChecks("/health/ready", new HealthCheckOptions { ResponseWriter = WriteReadyAsync });
            if (settings.ServesMetrics)
            {
                endpoints.MapMetrics();
            }

            if (settings.ServesDashboard)
            {
                var dashboard = endpoints.MapOrleansDashboard("/dashboard").AnswersHead();
                if (settings.Password is { } password)
                {
                    dashboard.AddEndpointFilter((invocation, next) => HasPassword(invocation.HttpContext, password)
                        ? next(invocation)
                        : ValueTask.FromResult<object?>(TypedResults.Unauthorized()));
                }
            }
        });
    }

    /// <summary>Asks the service on this machine whether it is ready, for the command <c>health</c>.</summary>
    public static async Task<bool> AskReadyAsync(BindingAddress url)
    {
        // A service that listens on one address of this machine, a loopback address included, is reachable only there.
        var host = System.Net.IPAddress.TryParse(url.Host.Trim('[', ']'), out var address) && !System.Net.IPAddress.Any.Equals(address) && !System.Net.IPAddress.IPv6Any.Equals(address)
            ? url.Host
            : "localhost";

        // A proxy from the environment variables cannot reach the service on this machine.
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = TimeSpan.FromSeconds(5) };
        try
        {
            var answer = await client.GetAsync(new Uri($"{url.Scheme}://{host}:{url.Port}/health/ready"));
            Console.WriteLine(await answer.Content.ReadAsStringAsync());
            return answer.IsSuccessStatusCode;
        }
        catch (Exception exception) when (exception is HttpRequestException or TaskCanceledException)
        {
            Console.WriteLine($"The service does not answer at {url}: {exception.Message}");
            return false;
        }
    }

    private static Task WriteReadyAsync(HttpContext context, HealthReport report)
    {
        context.Response.ContentType = "text/plain";
        return context.Response.WriteAsync(report.Entries["ready"] is { Exception: null, Description: { } reason } ? reason : "not ready");
    }

    private static bool HasPassword(HttpContext context, string password)
    {
        context.Response.Headers.WWWAuthenticate = "Basic realm=\"recognize-management\", charset=\"UTF-8\"";
        if (!AuthenticationHeaderValue.TryParse(context.Request.Headers.Authorization, out var header)
            || !header.Scheme.Equals("Basic", StringComparison.OrdinalIgnoreCase))
        {
            return false;
        }

        // Any user name is accepted: there is only one password.
        var bytes = new byte[header.Parameter?.Length ?? 0];
        var sent = Convert.TryFromBase64String(header.Parameter ?? "", bytes, out var count) ? Encoding.UTF8.GetString(bytes, 0, count) : "";
        var given = sent[(sent.IndexOf(':', StringComparison.Ordinal) + 1)..];
        return CryptographicOperations.FixedTimeEquals(SHA256.HashData(Encoding.UTF8.GetBytes(given)), SHA256.HashData(Encoding.UTF8.GetBytes(password)));
    }

    /// <summary>
    /// Whether this node can serve as well as any other: it has joined the cluster, has its file, rights and schema,
    /// its clock is near the database's, and it is not stopping. An outage of the database that every node sees leaves
    /// it ready, but degraded: taking all nodes out of a load balancer helps nobody.
    /// </summary>
    private sealed class Readiness(ISiloStatusOracle silo, DatabaseHealth database, IHostApplicationLifetime lifetime, ServiceClock clock) : IHealthCheck
    {
        public Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default) => Task.FromResult(
            lifetime.ApplicationStopping.IsCancellationRequested ? HealthCheckResult.Unhealthy("stopping")
            : silo.CurrentStatus is not SiloStatus.Active ? HealthCheckResult.Unhealthy("the silo has not joined the cluster")
            : database.Trouble is { IsOfNode: true } own ? HealthCheckResult.Unhealthy(own.Reason)
            : clock.IsUnusable ? HealthCheckResult.Unhealthy("the clock is more than ten seconds off the database's")
            : database.Trouble is { } outage ? HealthCheckResult.Degraded($"degraded: {outage.Reason}")
            : HealthCheckResult.Healthy("ready"));
    }
}
