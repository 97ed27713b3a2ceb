using System.Globalization;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.FaultInjection;

/// <summary>A wall clock of one process that a test sets, by Debian's libfaketime; the monotonic clock of the process stays the machine's.</summary>
internal sealed class ShiftedClock : IDisposable
{
    private readonly string file = Path.Combine(Path.GetTempPath(), $"recognize_test_clock_{Guid.NewGuid():N}");

    public ShiftedClock(TimeSpan offset = default)
    {
        Skip.If(Library is null, "Install Debian's package faketime to run this test.");
        Set(offset);
    }

    /// <summary>What makes a <see cref="ServiceProcess"/> read this clock.</summary>
    public (string, string)[] Settings =>
    [
        ("LD_PRELOAD", Library!),
        ("FAKETIME_TIMESTAMP_FILE", file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),

        // Otherwise every wait of .NET's ends at once and begins again, and takes both cores.
        ("FAKETIME_FORCE_MONOTONIC_FIX", "0"),
    ];

    private static string? Library { get; } = Directory.Exists("/usr/lib")
        ? Directory.EnumerateDirectories("/usr/lib", "*-linux-*").Select(folder => Path.Combine(folder, "faketime", "libfaketime.so.1")).FirstOrDefault(File.Exists)
        : null;

    /// <summary>The process reads that much more, or less, than the machine's clock from now on.</summary>
    public void Set(TimeSpan offset)
    {
        // Moved into place: half a number must not be read.
        File.WriteAllText(file + ".new", offset.TotalSeconds.ToString("+0.000;-0.000", CultureInfo.InvariantCulture));
        File.Move(file + ".new", file, overwrite: true);
    }

    public void Dispose() => File.Delete(file);
}
