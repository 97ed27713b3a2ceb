using System.Globalization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What a run measures, and for how long.</summary>
internal sealed record Options
{
    public const string Usage = """
        Usage: dotnet run -c Release --project tests/Recognize.Orleans.Benchmarks -- [options]
          --warmup <seconds>         load on each server before each scenario is measured   (20)
          --rounds <number>          measured rounds, the servers in turn                   (5)
          --seconds <seconds>        length of a round                                      (5)
          --connections <n[,n...]>   connections that send one request after the other      (64)
          --engines <name[,name...]> sqlite, postgresql                                     (sqlite; postgresql too when RECOGNIZE_TEST_POSTGRESQL is set)
          --scenarios <name[,...]>   the scenarios whose name begins so                     (all)
          --against <path>           another build's Recognize.Orleans.dll, measured beside this one   (none)
          --directory <path>         where the SQLite files are made                        (the temporary directory)
          --json <file>              write every figure of every round
        """;

    public static string? PostgreSql => Environment.GetEnvironmentVariable("RECOGNIZE_TEST_POSTGRESQL") is { Length: > 0 } text ? text : null;

    public TimeSpan WarmUp { get; private set; } = TimeSpan.FromSeconds(20);

    public int Rounds { get; private set; } = 5;

    public TimeSpan Round { get; private set; } = TimeSpan.FromSeconds(5);

    public IReadOnlyList<int> Connections { get; private set; } = [64];

    public IReadOnlyList<string> Engines { get; private set; } = PostgreSql is null ? [Engine.Sqlite] : [Engine.Sqlite, Engine.PostgreSql];

    public IReadOnlyList<string> Scenarios { get; private set; } = [""];

    public string? Against { get; private set; }

    public string Directory { get; private set; } = Path.GetTempPath();

    public string? Json { get; private set; }

    public static Options? Parse(string[] args, out string? fault)
    {
        var options = new Options();
        fault = null;
        for (var i = 0; i < args.Length && fault is null; i += 2)
        {
            fault = i + 1 < args.Length ? options.Set(args[i], args[i + 1]) : $"{args[i]} needs a value.";
        }

        return fault is null ? options : null;
    }

    private string? Set(string name, string value)
    {
        switch (name)
        {
            case "--warmup" when TryParse(value, out var number):
                WarmUp = TimeSpan.FromSeconds(number);
                return null;
            case "--rounds" when TryParse(value, out var number) && number > 0:
                Rounds = number;
                return null;
            case "--seconds" when TryParse(value, out var number) && number > 0:
                Round = TimeSpan.FromSeconds(number);
                return null;
            case "--connections" when value.Split(',').All(part => TryParse(part, out var number) && number > 0):
                Connections = [.. value.Split(',').Select(part => int.Parse(part, CultureInfo.InvariantCulture))];
                return null;
            case "--engines" when value.Split(',') is var engines && engines.All(Engine.All.Contains):
                Engines = engines;
                return engines.Contains(Engine.PostgreSql) && PostgreSql is null ? "postgresql needs RECOGNIZE_TEST_POSTGRESQL." : null;
            case "--scenarios":
                Scenarios = value.Split(',');
                return null;
            case "--against" when File.Exists(value):
                Against = Path.GetFullPath(value);
                return null;
            case "--directory" when System.IO.Directory.Exists(value):
                Directory = Path.GetFullPath(value);
                return null;
            case "--json":
                Json = value;
                return null;
            default:
                return $"{name} {value} is not understood.";
        }
    }

    private static bool TryParse(string text, out int number) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}

/// <summary>What keeps the benchmark from measuring, as a sentence.</summary>
internal sealed class BenchmarkException(string message) : Exception(message);
