using System.Globalization;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.Operations;

/// <summary>The reviewed table of what calls cost.</summary>
internal static class CostTable
{
    private const string RenewVariable = "RECOGNIZE_RENEW_SNAPSHOTS";

    private static readonly string Path = Repository.PathOf("tests/Recognize.Orleans.Tests/Operations/costs.md");

    /// <summary>Compares what was measured on an engine with the table, or writes it there when snapshots are renewed.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="columns">The columns' names.</param>
    /// <param name="measured">The numbers of each call, in the order of the columns.</param>
    /// <param name="unit">To what the table's numbers are rounded.</param>
    /// <param name="tolerance">By which part of a number what was measured may differ.</param>
    public static void ShouldHold(string engine, string[] columns, IReadOnlyDictionary<string, double[]> measured, double unit, double tolerance)
    {
        var lines = File.ReadAllLines(Path);
        var header = CellsOf(Array.Find(lines, line => line.StartsWith("| call", StringComparison.Ordinal))!);
        var wrong = new List<string>();
        foreach (var (call, numbers) in measured)
        {
            var row = Array.FindIndex(lines, line => line.StartsWith($"| {call} | {engine} |", StringComparison.Ordinal));
            var cells = CellsOf(lines[row]);
            foreach (var (column, number) in columns.Zip(numbers, (column, number) => (Array.IndexOf(header, column), Math.Round(number / unit) * unit)))
            {
                var told = double.Parse(cells[column], NumberStyles.Number, CultureInfo.InvariantCulture);
                if (Math.Abs(number - told) > (told * tolerance) + (unit / 100))
                {
                    wrong.Add(string.Create(CultureInfo.InvariantCulture, $"{call} on {engine}: {number:#,0.#} {header[column]} instead of {told:#,0.#}"));
                }

                cells[column] = number.ToString("#,0.#", CultureInfo.InvariantCulture);
            }

            lines[row] = $"| {string.Join(" | ", cells[1..^1])} |";
        }

        if (Environment.GetEnvironmentVariable(RenewVariable) == "1")
        {
            File.WriteAllText(Path, string.Join('\n', lines) + "\n");
            return;
        }

        Assert.True(wrong.Count == 0, $"Costs are not those of {Path}:\n{string.Join('\n', wrong)}\nIf that is meant, run the test with {RenewVariable}=1 and review the difference.");
    }

    private static string[] CellsOf(string row) => row.Split('|', StringSplitOptions.TrimEntries);
}
