using System.Security.Cryptography;
using System.Text;

namespace Recognize.Orleans.Benchmarks;

/// <summary>One of the servers that are compared.</summary>
/// <param name="Letter">Its letter in the tables.</param>
/// <param name="Name">Its name in the tables.</param>
/// <param name="Storing">Where it stores what it is sent.</param>
/// <param name="Command">How it is started.</param>
internal sealed record Contestant(string Letter, string Name, Storing Storing, Func<Launch, Command> Command)
{
    public const string ConstantLetter = "a";
    public const string BaselineLetter = "b";
    public const string ServiceLetter = "d";
    public const string StockLetter = "c";
    public const string OtherLetter = "x";
    public const string OtherStockLetter = "y";

    private static readonly (string Name, string Value) Stock = ("Recognize__Storage__GroupCommit", "false");

    public static readonly Contestant Shipped = new(ServiceLetter, "service", Storing.OrleansStorage, launch => launch.Service(Launch.BuiltService()));

    public static readonly IReadOnlyList<Contestant> All =
    [
        new(ConstantLetter, "constant", Storing.Nothing, launch => launch.Serve("constant")) { Without = [Scenario.Duplicate] },
        new(BaselineLetter, "baseline", Storing.BaselineTable, launch => launch.Serve("baseline", launch.Engine)),
        new(StockLetter, "stock storage", Storing.OrleansStorage, launch => launch.Service(Launch.BuiltService(), Stock)) { Without = [Scenario.ListAgain] },
        Shipped,
        new("e", "floor", Storing.OrleansStorage, launch => launch.Serve("floor", launch.Engine)) { Without = [Scenario.Duplicate, Scenario.List, Scenario.ListAgain] },
    ];

    /// <summary>The scenarios that it has no part in; the README says why.</summary>
    public IReadOnlyList<string> Without { get; init; } = [];

    /// <summary>The service as it ships, from another place.</summary>
    public static Contestant Published(string path) => Shipped with { Command = launch => launch.Service(path) };

    /// <summary>The service as it ships, which shares a database with others and knows nothing of them.</summary>
    public static Contestant Apart(int number) => Shipped with
    {
        Command = launch => launch.Service(Launch.BuiltService(), ("Recognize__Cluster__ClusterId", $"apart-{number}"), ("Recognize__Cluster__ServiceId", $"apart-{number}")),
    };

    /// <summary>Another build of the service, as it ships and on the stock storage: what a change gained is seen best beside what was before it.</summary>
    public static IReadOnlyList<Contestant> Other(string path) =>
    [
        new(OtherLetter, "other build", Storing.OrleansStorage, launch => launch.Service(path)),
        new(OtherStockLetter, "other build, stock storage", Storing.OrleansStorage, launch => launch.Service(path, Stock))
        {
            Without = [.. Scenario.All.Select(scenario => scenario.Name).Where(name => name is not Scenario.Create)],
        },
    ];
}

/// <summary>A program with its arguments and the environment that is set for it.</summary>
internal sealed record Command(string Program, IReadOnlyList<string> Arguments, string ReadyUrl, IReadOnlyDictionary<string, string> Variables)
{
    /// <summary>What it is started by, with its arguments; empty: by this program itself.</summary>
    public IReadOnlyList<string> By { get; init; } = [];

    /// <summary>Where other silos reach it; null: it is none.</summary>
    public int? SiloPort { get; init; }
}

/// <summary>What a server is started with.</summary>
internal sealed record Launch(string Engine, string ConnectionString, string ApiKey)
{
    public int ApiPort { get; } = FreePort.Next();

    public static Launch At(BenchmarkDatabase database) =>
        new(database.Engine, database.ConnectionString, RandomNumberGenerator.GetHexString(64, lowercase: true));

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
        var (managementPort, siloPort) = (FreePort.Next(), FreePort.Next());
        var variables = new Dictionary<string, string>
        {
            ["ASPNETCORE_URLS"] = $"http://127.0.0.1:{ApiPort}",
            ["ConnectionStrings__Recognize"] = ConnectionString,
            ["Recognize__Storage__Engine"] = Engine,
            ["Recognize__Storage__ApplySchema"] = "true",
            ["Recognize__Silo__Port"] = $"{siloPort}",
            ["Recognize__Silo__Name"] = $"bench-{siloPort}",
            ["Recognize__Management__Port"] = $"{managementPort}",
        };

        foreach (var (name, value) in Customer(ServiceRow.Customer, ApiKey).Concat(settings))
        {
            variables[name] = value;
        }

        return new(path, [], $"http://localhost:{managementPort}/health/ready", variables) { SiloPort = siloPort };
    }

    /// <summary>The settings of a customer with one key.</summary>
    public static IEnumerable<(string Name, string Value)> Customer(string name, string apiKey) =>
    [
        ($"Recognize__Customers__{name}__SdkApiKey", $"{name}-sdk-key"),
        ($"Recognize__Customers__{name}__Keys__0__Sha256", Convert.ToHexStringLower(SHA256.HashData(Encoding.ASCII.GetBytes(apiKey)))),
        ($"Recognize__Customers__{name}__Keys__0__Scopes__0", "operations"),
        ($"Recognize__Customers__{name}__Keys__0__Scopes__1", "decisions"),
    ];

    /// <summary>The service of the same build as this program.</summary>
    public static string BuiltService()
    {
        if (!AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
        {
            throw new BenchmarkException("Only Release builds are measured: add -c Release.");
        }

        var service = InRepository(Path.Combine("src", "Recognize.Orleans", "bin", "Release", new DirectoryInfo(AppContext.BaseDirectory).Name, "Recognize.Orleans.dll"));
        return File.Exists(service) ? service : throw new BenchmarkException($"The service is not built: {service} is missing.");
    }

    /// <summary>A path in the repository that this program was built in.</summary>
    public static string InRepository(string path)
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (folder is not null && !File.Exists(Path.Combine(folder.FullName, "Recognize.Orleans.sln")))
        {
            folder = folder.Parent;
        }

        return Path.Combine(folder?.FullName ?? "", path);
    }
}
