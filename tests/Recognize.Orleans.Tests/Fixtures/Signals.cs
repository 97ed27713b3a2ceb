using System.Diagnostics;
using System.Globalization;

namespace Recognize.Orleans.Fixtures;

/// <summary>Signals to processes, which .NET itself does not send.</summary>
internal static class Signals
{
    /// <summary>
    /// A program that is not to ignore SIGINT. A shell has whatever it starts in the background ignore it, the tests too, and
    /// what they start inherits that.
    /// </summary>
    public static ProcessStartInfo WithDefaults(string program) => OperatingSystem.IsLinux() ? new("env", ["--default-signal=INT", program]) : new(program);

    /// <returns>False when there is no such process or it may not be sent signals.</returns>
    public static async Task<bool> SendAsync(string signal, int processId)
    {
        var start = new ProcessStartInfo("kill", ["-" + signal, processId.ToString(CultureInfo.InvariantCulture)]) { RedirectStandardError = true };
        using var kill = Process.Start(start)!;
        await kill.WaitForExitAsync();
        return kill.ExitCode == 0;
    }
}
