using System.Globalization;
using System.Text;

namespace Recognize.Orleans.Benchmarks;

/// <summary>Bars of throughput as multiples of the baseline's, as an SVG that follows the reader's light or dark scheme.</summary>
internal static class Plot
{
    private const int Left = 160;
    private const int Right = 50;
    private const int BarHeight = 14;
    private const int GroupGap = 14;
    private const int PanelWidth = 360;
    private const int Top = 64;

    private const string Style = """
        <style>
        text { font: 12px system-ui, sans-serif; fill: #1f2328 }
        .title { font-weight: 600 }
        .ratio { stroke: #fff; stroke-width: 4px; paint-order: stroke }
        .axis { stroke: #1f2328; stroke-dasharray: 3 3 }
        .c { fill: #9a9fa6 } .d { fill: #0a6ed1 } .e { fill: #e08a00 }
        @media (prefers-color-scheme: dark) {
          text { fill: #e6edf3 }
          .ratio { stroke: #0d1117 }
          .axis { stroke: #e6edf3 }
          .c { fill: #7d848c } .d { fill: #4aa3ff }
        }
        </style>
        """;

    private static readonly (string Letter, string Name)[] Drawn = [("c", "stock storage"), ("d", "this service"), ("e", "group commit without actors")];

    public static string Draw(Results results)
    {
        var connections = results.All.Any(result => result.Connections == 64) ? 64 : results.All[0].Connections;

        // How often the lists of 25 are asked for is given.
        var measured = results.All.Where(result => result.Connections == connections && result.Scenario is not Scenario.ListAgain).ToList();
        var engines = measured.Select(result => result.Engine).Distinct().ToList();
        var scenarios = Scenario.All.Select(scenario => scenario.Name).Where(name => measured.Any(result => result.Scenario == name)).ToList();
        var bars = measured.Select(result => results.Ratio(result, Contestant.BaselineLetter, Figure.PerSecond) ?? 0).DefaultIfEmpty(1);
        var most = Math.Max(2, Math.Ceiling(measured.Zip(bars).Where(bar => Drawn.Any(drawn => drawn.Letter == bar.First.Letter)).Select(bar => bar.Second).DefaultIfEmpty(1).Max()));

        var groupHeight = (Drawn.Length * BarHeight) + GroupGap;
        var width = Left + (engines.Count * (PanelWidth + Right));
        var height = Top + (scenarios.Count * groupHeight) + 24;
        var svg = new StringBuilder();
        svg.AppendLine(Invariant($"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" aria-label=\"Throughput as multiples of the baseline, {connections} connections\">"));
        svg.AppendLine(Style);

        var at = 10;
        foreach (var (letter, name) in Drawn.Where(drawn => measured.Any(result => result.Letter == drawn.Letter)))
        {
            svg.AppendLine(Invariant($"<rect class=\"{letter}\" x=\"{at}\" y=\"10\" width=\"12\" height=\"12\"/><text x=\"{at + 18}\" y=\"20\">{name}</text>"));
            at += 40 + (name.Length * 7);
        }

        for (var row = 0; row < scenarios.Count; row++)
        {
            svg.AppendLine(Invariant($"<text x=\"{Left - 10}\" y=\"{Top + (row * groupHeight) + (Drawn.Length * BarHeight / 2) + 4}\" text-anchor=\"end\">{scenarios[row]}</text>"));
        }

        for (var panel = 0; panel < engines.Count; panel++)
        {
            DrawPanel(svg, engines[panel], Left + (panel * (PanelWidth + Right)));
        }

        return svg.AppendLine("</svg>").ToString();

        void DrawPanel(StringBuilder svg, string engine, int left)
        {
            var one = left + (PanelWidth / most);
            svg.AppendLine(Invariant($"<text class=\"title\" x=\"{left}\" y=\"{Top - 18}\">{engine}, {connections} connections</text>"));
            svg.AppendLine(Invariant($"<line class=\"axis\" x1=\"{one:F1}\" x2=\"{one:F1}\" y1=\"{Top - 6}\" y2=\"{height - 20}\"/><text x=\"{one:F1}\" y=\"{height - 6}\" text-anchor=\"middle\">baseline</text>"));
            for (var row = 0; row < scenarios.Count; row++)
            {
                for (var bar = 0; bar < Drawn.Length; bar++)
                {
                    if (results.Find(engine, scenarios[row], connections, Drawn[bar].Letter) is { } result
                        && results.Ratio(result, Contestant.BaselineLetter, Figure.PerSecond) is { } ratio)
                    {
                        var y = Top + (row * groupHeight) + (bar * BarHeight);
                        var length = ratio / most * PanelWidth;
                        svg.AppendLine(Invariant($"<rect class=\"{Drawn[bar].Letter}\" x=\"{left}\" y=\"{y}\" width=\"{length:F1}\" height=\"{BarHeight - 2}\"/><text class=\"ratio\" x=\"{left + length + 4:F1}\" y=\"{y + 10}\">{ratio:F2}</text>"));
                    }
                }
            }
        }
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
