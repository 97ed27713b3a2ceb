using System.Globalization;
using System.Net;
using Npgsql;

namespace Recognize.Orleans.Benchmarks;

/// <summary>The processor time of a PostgreSQL server on this machine, read from <c>/proc</c> (Linux only).</summary>
internal sealed class DatabaseCpu
{
    // What a tick is to user space is the same on every Linux that .NET runs on.
    private const double TicksPerSecond = 100;

    private readonly int postmaster;

    private DatabaseCpu(int postmaster) => this.postmaster = postmaster;

    /// <returns>Null when the server is on another machine, or in a container whose processes have other numbers here.</returns>
    public static async Task<DatabaseCpu?> OfPostgreSqlAsync(string connectionString, CancellationToken cancellationToken)
    {
        var host = new NpgsqlConnectionStringBuilder(connectionString).Host ?? "";
        var isHere = host is "localhost" || host.StartsWith('/') || (IPAddress.TryParse(host, out var address) && IPAddress.IsLoopback(address));
        if (!isHere || !OperatingSystem.IsLinux())
        {
            return null;
        }

        await using var connection = new NpgsqlConnection(connectionString);
        await connection.OpenAsync(cancellationToken);
        return ProcessTimes.Read(connection.ProcessID) is { Name: "postgres" } backend && ProcessTimes.Read(backend.Parent) is { Name: "postgres" }
            ? new DatabaseCpu(backend.Parent)
            : null;
    }

    /// <summary>User and system time so far: of the postmaster, of its processes, and of those that have ended, which it inherits.</summary>
    public TimeSpan Total() => TimeSpan.FromSeconds(Read().Sum(process => process.Times.Ticks) / TicksPerSecond);

    /// <summary>The ids of the postmaster and of its processes.</summary>
    public IEnumerable<int> ProcessIds() => Read().Select(process => process.Id);

    private IEnumerable<(int Id, ProcessTimes Times)> Read()
    {
        foreach (var folder in Directory.EnumerateDirectories("/proc"))
        {
            if (int.TryParse(Path.GetFileName(folder), NumberStyles.None, CultureInfo.InvariantCulture, out var id)
                && ProcessTimes.Read(id) is { } times && (id == postmaster || times.Parent == postmaster))
            {
                yield return (id, times);
            }
        }
    }

    /// <summary>One line of <c>/proc/&lt;pid&gt;/stat</c>; the ticks include those of children that have ended.</summary>
    private sealed record ProcessTimes(string Name, int Parent, long Ticks)
    {
        public static ProcessTimes? Read(int id)
        {
            try
            {
                var line = File.ReadAllText($"/proc/{id}/stat");

                // The name is in parentheses and may hold any character.
                var end = line.LastIndexOf(')');
                var fields = line[(end + 2)..].Split(' ');
                return new(line[(line.IndexOf('(') + 1)..end], Number(1), Number(11) + Number(12) + Number(13) + Number(14));

                int Number(int field) => int.Parse(fields[field], CultureInfo.InvariantCulture);
            }
            catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
            {
                return null;
            }
        }
    }
}
