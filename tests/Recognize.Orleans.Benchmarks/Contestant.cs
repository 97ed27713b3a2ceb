using System.Security.Cryptography;
using System.Text;

namespace Recognize.Orleans.Benchmarks;

/// <summary>One of the servers that are compared.</summary>
/// <param name="Letter">Its letter in the tables.</param>
/// <param name="Name">Its name in the tables.</param>
/// <param name="KeepsOperations">Whether it stores what it is sent, so that a read can be checked against a create.</param>
/// <param name="Command">How it is started.</param>
internal sealed record Contestant(string Letter, string Name, bool KeepsOperations, Func<Launch, Command> Command)
{
    public const string BaselineLetter = "b";

    public static readonly IReadOnlyList<Contestant> All =
    [
        new("a", "constant", false, launch => launch.Serve("constant")),
        new(BaselineLetter, "baseline", true, launch => launch.Serve("baseline", launch.Engine)),
        new("d", "service", true, launch => launch.Service(Launch.BuiltService())),
    ];

    /// <summary>Another build of the service: what a change gained is seen best beside what was before it.</summary>
    public static Contestant Other(string path) => new("x", "other build", true, launch => launch.Service(path));
}

/// <summary>A program with its arguments and the environment that is set for it.</summary>
internal sealed record Command(string Program, IReadOnlyList<string> Arguments, string ReadyUrl, IReadOnlyDictionary<string, string> Variables);

/// <summary>What a server is started with.</summary>
internal sealed record Launch(string Engine, string ConnectionString, string ApiKey)
{
    public int ApiPort { get; } = FreePort.Next();

    public Command Serve(params string[] arguments) => new(
        typeof(Launch).Assembly.Location,
        ["serve", .. arguments],
        $"http://127.0.0.1:{ApiPort}/health/ready",
        new Dictionary<string, string>
        {
            ["ASPNETCORE_URLS"] = $"http://127.0.0.1:{ApiPort}",
            ["ConnectionStrings__Baseline"] = ConnectionString,
        });

    /// <param name="path">The service's assembly.</param>
    /// <param name="settings">Settings in which this contestant differs from the service as it ships.</param>
    public Command Service(string path, params (string Name, string Value)[] settings)
    {
        var managementPort = FreePort.Next();
        var variables = new Dictionary<string, string>
        {
            ["ASPNETCORE_URLS"] = $"http://127.0.0.1:{ApiPort}",
            ["ConnectionStrings__Recognize"] = ConnectionString,
            ["Recognize__Storage__Engine"] = Engine,
            ["Recognize__Storage__ApplySchema"] = "true",
            ["Recognize__Silo__Port"] = $"{FreePort.Next()}",
            ["Recognize__Management__Port"] = $"{managementPort}",
            ["Recognize__Customers__bench__SdkApiKey"] = "bench-sdk-key",
            ["Recognize__Customers__bench__Keys__0__Sha256"] = Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(ApiKey))),
            ["Recognize__Customers__bench__Keys__0__Scopes__0"] = "operations",
            ["Recognize__Customers__bench__Keys__0__Scopes__1"] = "decisions",
        };

        foreach (var (name, value) in settings)
        {
            variables[name] = value;
        }

        return new(path, [], $"http://localhost:{managementPort}/health/ready", variables);
    }

    /// <summary>The service of the same build as this program.</summary>
    public static string BuiltService()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        if (!folder.FullName.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
        {
            throw new BenchmarkException("Only Release builds are measured: add -c Release.");
        }

        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Recognize.Orleans.sln")))
        {
            folder = folder.Parent;
        }

        var service = Path.Combine(folder?.FullName ?? "", "src", "Recognize.Orleans", "bin", "Release", new DirectoryInfo(AppContext.BaseDirectory).Name, "Recognize.Orleans.dll");
        return File.Exists(service) ? service : throw new BenchmarkException($"The service is not built: {service} is missing.");
    }
}
