using System.Globalization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>What a run measures, and for how long.</summary>
internal sealed record Options
{
    public const string Usage = """
        Usage: dotnet run -c Release --project tests/Recognize.Orleans.Benchmarks -- [growth | start | wait | sweep | greedy] [options]
          (no word)                  every server in every scenario, the ratios and the targets
          growth                     the service with little and with much stored, with one and with three silos
          start                      time from process start to first answer, memory per idle operation
          wait                       decision to parked answer, memory of parked clients, many deadlines at one instant
          sweep                      what creates notice while many old operations, then tombstones, are removed
          greedy                     what a modest customer's creates notice of a greedy one's requests (Linux only)
          --warmup <seconds>         load on each server before each scenario is measured   (20; growth, for silos 60)
          --rounds <number>          measured rounds, the servers in turn                   (5)
          --seconds <seconds>        length of a round                                      (5)
          --connections <n[,n...]>   connections that send one request after the other      (64)
          --engines <name[,name...]> sqlite, postgresql, sqlserver                          (sqlite; postgresql when RECOGNIZE_TEST_POSTGRESQL is set,
                                                                                             sqlserver when RECOGNIZE_TEST_SQLSERVER is)
          --scenarios <name[,...]>   the scenarios, for greedy the floods, whose name begins so   (all)
          --servers <letter[,...]>   which of the servers a to e, x and y                   (all)
          --against <path>           another build's Recognize.Orleans.dll, measured beside this one   (none)
          --published <path>         start: a published Recognize.Orleans.dll               (the built one)
          --stored <number>          growth: operations stored in the larger database       (2000000)
          --parts <name[,...]>       growth: stored, past, silos, restart                   (all)
          --operations <number>      start: operations whose memory is measured; wait: due at once; sweep: removed, of each kind; greedy: unknown ids at least   (100000)
          --waiters <number>         wait: clients that are parked at once                  (10000)
          --streams <number>         greedy: event streams that are not read                (30)
          --directory <path>         where the SQLite files are made                        (the temporary directory)
          --json <file>              write every figure of every round
          --plot <file>              draw the ratios to the baseline as SVG (not for growth and start)
        """;

    private TimeSpan? warmUp;

    public TimeSpan WarmUp => warmUp ?? TimeSpan.FromSeconds(20);

    public int Rounds { get; private set; } = 5;

    public TimeSpan Round { get; private set; } = TimeSpan.FromSeconds(5);

    public IReadOnlyList<int> Connections { get; private set; } = [64];

    public IReadOnlyList<string> Engines { get; private set; } = [.. Engine.All.Where(Engine.IsThere)];

    public IReadOnlyList<string> Scenarios { get; private set; } = [""];

    public IReadOnlyList<string> Servers { get; private set; } = [.. Contestant.All.Select(contestant => contestant.Letter), Contestant.OtherLetter, Contestant.OtherStockLetter];

    public string? Against { get; private set; }

    public string? Published { get; private set; }

    public int Stored { get; private set; } = 2_000_000;

    public IReadOnlyList<string> Parts { get; private set; } = Growth.Parts;

    public int Operations { get; private set; } = 100_000;

    public int Waiters { get; private set; } = 10_000;

    public int Streams { get; private set; } = 30;

    public string Directory { get; private set; } = Path.GetTempPath();

    public string? Json { get; private set; }

    public string? Plot { get; private set; }

    /// <summary>The same with another warm-up, unless one was asked for.</summary>
    public Options WarmedUpFor(TimeSpan time) => this with { warmUp = warmUp ?? time };

    /// <summary>The same with a warm-up of this time at most.</summary>
    public Options WarmedUpForAtMost(TimeSpan time) => this with { warmUp = WarmUp < time ? WarmUp : time };

    public static Options? Parse(IReadOnlyList<string> args, out string? fault)
    {
        var options = new Options();
        fault = null;
        for (var i = 0; i < args.Count && fault is null; i += 2)
        {
            fault = i + 1 < args.Count ? options.Set(args[i], args[i + 1]) : $"{args[i]} needs a value.";
        }

        return fault is null ? options : null;
    }

    private string? Set(string name, string value)
    {
        switch (name)
        {
            case "--warmup" when TryParse(value, out var number):
                warmUp = TimeSpan.FromSeconds(number);
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
                return engines.FirstOrDefault(engine => !Engine.IsThere(engine)) is { } missing ? $"{missing} needs {Engine.VariableOf(missing)}." : null;
            case "--scenarios":
                Scenarios = value.Split(',');
                return null;
            case "--servers" when value.Split(',') is var letters && letters.All(Servers.Contains):
                Servers = letters;
                return null;
            case "--against" when File.Exists(value):
                Against = Path.GetFullPath(value);
                return null;
            case "--published" when File.Exists(value):
                Published = Path.GetFullPath(value);
                return null;
            case "--stored" when TryParse(value, out var number) && number > 0:
                Stored = number;
                return null;
            case "--parts" when value.Split(',') is var parts && parts.All(Growth.Parts.Contains):
                Parts = parts;
                return null;
            case "--operations" when TryParse(value, out var number) && number > 0:
                Operations = number;
                return null;
            case "--waiters" when TryParse(value, out var number) && number > 0:
                Waiters = number;
                return null;
            case "--streams" when TryParse(value, out var number) && number > 0:
                Streams = number;
                return null;
            case "--directory" when System.IO.Directory.Exists(value):
                Directory = Path.GetFullPath(value);
                return null;
            case "--json":
                Json = value;
                return null;
            case "--plot":
                Plot = value;
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
