using System.Diagnostics;
using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>The service as a process of its own, as production runs it but for profiles of methods: environment Production, settings by environment variables.</summary>
internal sealed class ServiceProcess : IAsyncDisposable
{
    public const string Key = "key-of-the-relying-party";

    /// <summary>Ends a test that waits for what never comes. What comes takes its time on a loaded machine.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);

    private static readonly Lock PortGate = new();
    private static int nextPort = Random.Shared.Next(12_000, 29_000);

    private readonly Process process;
    private readonly List<string> output = [];
    private readonly List<(string Part, TaskCompletionSource Seen)> awaited = [];
    private readonly Task<string[]> finished;

    private ServiceProcess(TestDatabase database, string name, string[] args, (string Setting, string Value)[] settings, ServiceProcess? former = null)
    {
        Name = name;
        if (former is not null)
        {
            (ApiUrl, SiloPort, GatewayPort, ManagementPort) = (former.ApiUrl, former.SiloPort, former.GatewayPort, former.ManagementPort);
        }

        var start = Signals.WithDefaults(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet");
        start.WorkingDirectory = AppContext.BaseDirectory;
        (start.RedirectStandardOutput, start.RedirectStandardError) = (true, true);
        start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "Recognize.Orleans.dll"));
        Array.ForEach(args, start.ArgumentList.Add);
        Configure(start.Environment, database, settings);
        process = Process.Start(start)!;
        finished = Task.WhenAll(ReadAsync(process.StandardOutput), ReadAsync(process.StandardError));
        Api = new HttpClient(new DocumentedAnswers { InnerHandler = new SocketsHttpHandler() }) { BaseAddress = ApiUrl, Timeout = Patience };
        Api.DefaultRequestHeaders.Add("X-Api-Key", Key);
        Management = new HttpClient { BaseAddress = new($"http://127.0.0.1:{ManagementPort}"), Timeout = Patience };
    }

    public string Name { get; }

    /// <summary>Sends the key that may do everything.</summary>
    public HttpClient Api { get; }

    public HttpClient Management { get; }

    public Uri ApiUrl { get; } = new($"http://127.0.0.1:{FreePort()}");

    public int SiloPort { get; } = FreePort();

    public int GatewayPort { get; } = FreePort();

    private int ManagementPort { get; } = FreePort();

    public bool HasExited => process.HasExited;

    /// <summary>Every line so far, of both streams.</summary>
    public IReadOnlyList<string> Output
    {
        get
        {
            lock (output)
            {
                return [.. output];
            }
        }
    }

    /// <summary>What the service itself has logged. Orleans tells of a machine that is too slow for it too.</summary>
    public IReadOnlyList<string> OwnLines => [.. Output.Where(line => line.Contains(": Recognize.", StringComparison.Ordinal))];

    /// <summary>Starts the service and returns when it is ready.</summary>
    public static async Task<ServiceProcess> StartAsync(TestDatabase database, string name, params (string Setting, string Value)[] settings)
    {
        var service = Launch(database, name, settings);
        try
        {
            await service.ReadyAsync();
            return service;
        }
        catch
        {
            await service.DisposeAsync();
            throw;
        }
    }

    public static async Task<ServiceProcess[]> StartAsync(TestDatabase database, string[] names, params (string Setting, string Value)[] settings)
    {
        var services = names.Select(name => Launch(database, name, settings)).ToArray();
        try
        {
            await Task.WhenAll(services.Select(service => service.ReadyAsync()));
            return services;
        }
        catch
        {
            await Task.WhenAll(services.Select(service => service.DisposeAsync().AsTask()));
            throw;
        }
    }

    /// <summary>Starts the service and waits for nothing.</summary>
    public static ServiceProcess Launch(TestDatabase database, string name, params (string Setting, string Value)[] settings) =>
        new(database, name, [], settings);

    /// <summary>Starts the service under the name and on the ports of one that runs no more, and returns when it has started: with a clock that was set back it is not ready for long.</summary>
    public static async Task<ServiceProcess> StartInPlaceOfAsync(ServiceProcess former, TestDatabase database, params (string Setting, string Value)[] settings)
    {
        var service = new ServiceProcess(database, former.Name, [], settings, former);
        try
        {
            await service.SeesAsync(" started as node ");
            return service;
        }
        catch
        {
            await service.DisposeAsync();
            throw;
        }
    }

    /// <summary>Runs a command of the program to its end.</summary>
    public static async Task<(int ExitCode, string Output)> RunAsync(TestDatabase database, params string[] args)
    {
        await using var service = new ServiceProcess(database, "command", args, []);
        return (await service.ExitAsync(), string.Join('\n', service.Output));
    }

    public async Task ReadyAsync()
    {
        await SeesAsync(" started as node ");
        using var answer = await Management.GetAsync("/health/ready");
        if (answer.StatusCode is not HttpStatusCode.OK)
        {
            throw new InvalidOperationException($"{Name} started and is not ready: {await answer.Content.ReadAsStringAsync()}");
        }
    }

    /// <summary>Completes when the service does not say any more that it is ready.</summary>
    public async Task NotReadyAsync()
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        while ((await Management.GetAsync("/health/ready")).StatusCode is HttpStatusCode.OK)
        {
            await timer.WaitForNextTickAsync();
        }
    }

    /// <summary>Completes when a line with this part has been written, sooner or later than now.</summary>
    public Task SeesAsync(string part)
    {
        var seen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (output)
        {
            if (output.Exists(line => line.Contains(part, StringComparison.Ordinal)))
            {
                return Task.CompletedTask;
            }

            awaited.Add((part, seen));
        }

        return WaitAsync();

        async Task WaitAsync()
        {
            var first = await Task.WhenAny(seen.Task, finished, Task.Delay(Patience));
            if (first != seen.Task && !seen.Task.IsCompleted)
            {
                throw new InvalidOperationException($"{Name} did not write '{part}' but:\n{string.Join('\n', Output)}");
            }
        }
    }

    /// <summary>kill -9: nothing of the process runs any more when this returns.</summary>
    public async Task KillAsync()
    {
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Asks the process to stop, as an operator or an orchestrator does.</summary>
    public Task TerminateAsync() => Signals.SendAsync("TERM", process.Id);

    public Task SignalAsync(string signal) => Signals.SendAsync(signal, process.Id);

    /// <summary>The process stands still where it is, with its connections open, until it is thawed.</summary>
    public Task FreezeAsync() => Signals.SendAsync("STOP", process.Id);

    public Task ThawAsync() => Signals.SendAsync("CONT", process.Id);

    /// <summary>The exit code, and every line has been read.</summary>
    public async Task<int> ExitAsync()
    {
        await process.WaitForExitAsync().WaitAsync(Patience);
        await finished.WaitAsync(Patience);
        return process.ExitCode;
    }

    public async Task<HttpStatusCode> CreateAsync(string userId, string operationId, string? payload = null)
    {
        using var answer = await Api.PostAsJsonAsync($"/v2/users/{userId}/operations", new { operationId, operationPayload = payload });
        return answer.StatusCode;
    }

    /// <summary>Creates operations here one after the other, and holds their grains: whoever is asked first does.</summary>
    public Task CreateAndHoldAsync(IEnumerable<(string User, string Id)> operations) => InOrder.ForEachAsync(operations, async operation =>
    {
        Assert.Equal(HttpStatusCode.OK, await CreateAsync(operation.User, operation.Id));
        Assert.Equal(HttpStatusCode.OK, (await ReadAsync(operation.Id)).Status);
    });

    public async Task<HttpStatusCode> DecideAsync(string userId, string operationId)
    {
        using var answer = await Api.PostAsJsonAsync($"/v2/operations/{operationId}/decision", new { userId, decision = "approve", authType = "pin" });
        return answer.StatusCode;
    }

    public async Task<(HttpStatusCode Status, JsonElement Body)> ReadAsync(string operationId)
    {
        using var answer = await Api.GetAsync($"/v2/operations/{operationId}");
        return (answer.StatusCode, await answer.Content.ReadFromJsonAsync<JsonElement>());
    }

    public async Task<IReadOnlyList<string>> ListAsync(string userId)
    {
        using var answer = await Api.GetAsync($"/v2/users/{userId}/operations/pending");
        answer.EnsureSuccessStatusCode();
        var list = await answer.Content.ReadFromJsonAsync<JsonElement>();
        return [.. list.EnumerateArray().Select(operation => operation.GetProperty("operationId").GetString()!)];
    }

    /// <summary>The ids of every operation that the user was ever asked, newest first.</summary>
    public async Task<IReadOnlyList<string>> HistoryAsync(string userId)
    {
        var ids = new List<string>();
        for (var query = "?limit=100"; query is not null;)
        {
            var page = await Api.GetFromJsonAsync<JsonElement>($"/v2/users/{userId}/operations{query}");
            ids.AddRange(page.GetProperty("operations").EnumerateArray().Select(operation => operation.GetProperty("operationId").GetString()!));
            query = page.TryGetProperty("cursor", out var cursor) ? $"?limit=100&cursor={cursor}" : null;
        }

        return ids;
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            await KillAsync();
        }

        await finished;
        process.Dispose();
        Api.Dispose();
        Management.Dispose();
    }

    private void Configure(IDictionary<string, string?> environment, TestDatabase database, (string Setting, string Value)[] settings)
    {
        // What configures the test run must not configure the service.
        string[] foreign = ["ASPNETCORE_", "DOTNET_ENVIRONMENT", "DOTNET_gc", "OTEL_", "Logging", "Recognize", "ConnectionStrings", "URLS", "HTTP_PORTS"];
        foreach (var variable in environment.Keys.Where(key => foreign.Any(start => key.StartsWith(start, StringComparison.OrdinalIgnoreCase))).ToList())
        {
            environment.Remove(variable);
        }

        // As for the tests themselves: see their project file.
        environment["DOTNET_TieredPGO"] = "0";
        environment["ASPNETCORE_ENVIRONMENT"] = "Production";
        environment["ASPNETCORE_URLS"] = ApiUrl.ToString();
        environment["ConnectionStrings__Recognize"] = database.ConnectionString;
        environment["Recognize__Storage__Engine"] = database.Engine.ToString();
        environment["Recognize__Management__Port"] = $"{ManagementPort}";
        environment["Recognize__Silo__Port"] = $"{SiloPort}";
        environment["Recognize__Silo__GatewayPort"] = $"{GatewayPort}";
        environment["Recognize__Silo__Name"] = Name;
        environment["Recognize__Silo__DrainDelay"] = "00:00:00";
        environment["Recognize__Customers__acme__SdkApiKey"] = "sdk-key-of-acme";
        environment["Recognize__Customers__acme__Keys__0__Sha256"] = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Key)));
        environment["Recognize__Customers__acme__Keys__0__Scopes__0"] = "operations";
        environment["Recognize__Customers__acme__Keys__0__Scopes__1"] = "decisions";
        foreach (var (setting, value) in settings)
        {
            environment[setting.Replace(":", "__", StringComparison.Ordinal)] = value;
        }
    }

    private async Task<string> ReadAsync(StreamReader stream)
    {
        while (await stream.ReadLineAsync() is { } line)
        {
            lock (output)
            {
                output.Add(line);
                foreach (var (_, seen) in awaited.Where(one => line.Contains(one.Part, StringComparison.Ordinal)))
                {
                    seen.TrySetResult();
                }
            }
        }

        return "";
    }

    // Below the ports that the system gives to outgoing connections, which could take one before the service does.
    private static int FreePort()
    {
        lock (PortGate)
        {
            while (true)
            {
                try
                {
                    using var probe = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                    probe.Bind(new IPEndPoint(IPAddress.Any, ++nextPort));
                    return nextPort;
                }
                catch (SocketException)
                {
                }
            }
        }
    }
}
