using System.Diagnostics;
using System.Globalization;

namespace Recognize.Orleans.Benchmarks;

/// <summary>
/// Keeps servers with their database and load generators on different cores (Linux only), so that what slows a client down is the server and not
/// another client. Disposing it lets every process run where it ran before.
/// </summary>
internal sealed class Cores : IDisposable
{
    private const string FirstOfSessions = "-15";
    private const string EqualSession = "0";

    private readonly Dictionary<int, string> before = [];
    private readonly HashSet<int> preferred = [];

    private Cores(IReadOnlyList<int> allowed)
    {
        Servers = string.Join(',', allowed.Take(allowed.Count / 2));
        Generators = string.Join(',', allowed.Skip(allowed.Count / 2));
    }

    public string Servers { get; }

    public string Generators { get; }

    /// <summary>The first half of the cores is for servers, the other for load generators, of which this process is one.</summary>
    public static Cores Split()
    {
        if (!OperatingSystem.IsLinux())
        {
            throw new BenchmarkException("Processes are kept on cores of their own only on Linux.");
        }

        var allowed = AllowedOf(Environment.ProcessId)!.Split(',').SelectMany(Range).ToList();
        if (allowed.Count < 2)
        {
            throw new BenchmarkException("Servers and load generators need a core each; there is one.");
        }

        var cores = new Cores(allowed);
        cores.Pin(Environment.ProcessId, cores.Generators);
        return cores;

        static IEnumerable<int> Range(string range)
        {
            var ends = range.Split('-').Select(end => int.Parse(end, CultureInfo.InvariantCulture)).ToList();
            return Enumerable.Range(ends[0], ends[^1] - ends[0] + 1);
        }
    }

    /// <summary>What starts a program on the cores of the servers: a runtime counts its cores when it starts.</summary>
    public IReadOnlyList<string> OfServers => ["taskset", "-c", Servers];

    /// <summary>What starts a load generator that gives way to this one.</summary>
    public IReadOnlyList<string> OfPoliteGenerators => ["taskset", "-c", Generators, "nice", "-n", "19"];

    /// <summary>Moves processes that run already; what they start later stays on the same cores.</summary>
    public void PinToServers(IEnumerable<int> processIds)
    {
        foreach (var processId in processIds)
        {
            Pin(processId, Servers);
        }
    }

    /// <summary>
    /// Lets processes run before others of their cores. PostgreSQL's are sessions of their own, and Linux schedules sessions, not processes: beside a busy server
    /// on the same core they wait for tenths of a second, which a database on a machine of its own never does.
    /// </summary>
    public void GivePrecedence(IEnumerable<int> processIds)
    {
        foreach (var processId in processIds)
        {
            if (TrySetSession(processId, FirstOfSessions))
            {
                preferred.Add(processId);
            }
        }
    }

    public void Dispose()
    {
        foreach (var processId in preferred)
        {
            _ = TrySetSession(processId, EqualSession);
        }

        foreach (var (processId, cores) in before)
        {
            // One that has ended needs nothing.
            _ = TryMove(processId, cores);
        }
    }

    // https://man7.org/linux/man-pages/man7/sched.7.html, "The autogroup feature". The system takes a value of an ordinary user only now and then.
    private static bool TrySetSession(int processId, string value)
    {
        try
        {
            File.WriteAllText($"/proc/{processId}/autogroup", value);
            return true;
        }
        catch (Exception fault) when (fault is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    private void Pin(int processId, string cores)
    {
        if (AllowedOf(processId) is not { } allowed)
        {
            return;
        }

        if (!TryMove(processId, cores) && AllowedOf(processId) is not null)
        {
            throw new BenchmarkException($"taskset may not move the process {processId}: run as the user that it belongs to, or as root.");
        }

        before.TryAdd(processId, allowed);
    }

    private static bool TryMove(int processId, string cores)
    {
        try
        {
            var start = new ProcessStartInfo("taskset", ["-a", "-c", "-p", cores, $"{processId}"]) { RedirectStandardOutput = true, RedirectStandardError = true };
            using var taskset = Process.Start(start)!;
            taskset.WaitForExit();
            return taskset.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception fault)
        {
            throw new BenchmarkException($"taskset (of util-linux) cannot be started: {fault.Message}");
        }
    }

    private static string? AllowedOf(int processId) => ProcessStatus.Read(processId, "Cpus_allowed_list");
}

/// <summary>What Linux tells of a process in <c>/proc/&lt;pid&gt;/status</c>.</summary>
internal static class ProcessStatus
{
    /// <returns>Null when the process has ended.</returns>
    public static string? Read(int processId, string name)
    {
        try
        {
            return File.ReadLines($"/proc/{processId}/status").First(line => line.StartsWith($"{name}:", StringComparison.Ordinal))[(name.Length + 1)..].Trim();
        }
        catch (IOException)
        {
            return null;
        }
    }

    /// <summary>Resident memory in bytes; 0 when the process has ended.</summary>
    public static long Resident(int processId) => Bytes(processId, "VmRSS");

    /// <summary>The most resident memory since <see cref="ForgetPeak"/>, in bytes.</summary>
    public static long PeakResident(int processId) => Bytes(processId, "VmHWM");

    public static void ForgetPeak(int processId) => File.WriteAllText($"/proc/{processId}/clear_refs", "5");

    private static long Bytes(int processId, string name) =>
        Read(processId, name) is { } text ? long.Parse(text.Split(' ')[0], CultureInfo.InvariantCulture) * 1_024 : 0;
}
