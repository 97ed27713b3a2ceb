using System.Diagnostics;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Documents;

/// <summary>The shell blocks under a heading of a document, typed from top to bottom, and the answers that stand below them.</summary>
internal sealed partial class ShellJourney
{
    private const string Api = "http://localhost:8080";
    private const string EndOfBlock = "== end of block ==";

    // What is another value each time.
    private static readonly string[] Varying = ["id", "timestamp", "nodeId", "decidedAt", "expiresAt", "traceId", "cursor"];

    private readonly IReadOnlyList<string> commands;
    private readonly IReadOnlyList<string> answers;

    private ShellJourney(IReadOnlyList<CodeBlock> blocks)
    {
        commands = [.. blocks.Where(block => block.Language == "sh").Select(block => block.Text)];
        answers = [.. blocks.Index().Where(block => block.Item.Language == "sh").Select(block => blocks.ElementAtOrDefault(block.Index + 1) is { Language: "json" } answer ? answer.Text : "")];
    }

    public static ShellJourney In(string document, string heading) => new([.. Repository.Read(document).Blocks.Where(block => block.Heading == heading)]);

    /// <summary>Types it, and compares each answer with the printed one: the members, and the values that are the same each time.</summary>
    public async Task RunAsync(Uri api)
    {
        var script = new StringBuilder("set -euo pipefail\n");
        foreach (var command in commands)
        {
            script.Append(command).Append("\necho; echo '" + EndOfBlock + "'\n");
        }

        script.Append("echo \"$ID\"\n");
        var output = (await BashAsync(script.Replace(Api, api.GetLeftPart(UriPartial.Authority)).ToString())).Split(EndOfBlock);

        Assert.Equal(commands.Count, output.Length - 1);
        var id = output[^1].Trim();
        Assert.All(answers.Zip(output), block => ShouldBeLike(ValuesIn(PrintedId().Replace(block.First, id)), ValuesIn(block.Second), block.Second));
    }

    private static async Task<string> BashAsync(string script)
    {
        using var bash = Process.Start(new ProcessStartInfo("bash", ["-c", script]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        var output = bash.StandardOutput.ReadToEndAsync();
        var errors = bash.StandardError.ReadToEndAsync();
        await Task.WhenAll(output, errors, bash.WaitForExitAsync()).WaitAsync(ServiceProcess.Patience);
        Assert.True(bash.ExitCode == 0, $"Exit code {bash.ExitCode}:\n{await output}\n{await errors}");
        return await output;
    }

    private static List<JsonElement> ValuesIn(string text)
    {
        var values = new List<JsonElement>();
        var reader = new Utf8JsonReader(Encoding.UTF8.GetBytes(text), new JsonReaderOptions { AllowMultipleValues = true });
        while (reader.Read())
        {
            values.Add(JsonElement.ParseValue(ref reader));
        }

        return values;
    }

    private static void ShouldBeLike(List<JsonElement> printed, List<JsonElement> real, string output)
    {
        Assert.True(printed.Count == real.Count, $"{printed.Count} answers are printed, {real.Count} came: {output}");
        Assert.All(printed.Zip(real), pair => ShouldBeLike(pair.First, pair.Second));
    }

    private static void ShouldBeLike(JsonElement printed, JsonElement real)
    {
        Assert.Equal(printed.ValueKind, real.ValueKind);
        switch (printed.ValueKind)
        {
            case JsonValueKind.Object:
                Assert.Equal(printed.EnumerateObject().Select(member => member.Name), real.EnumerateObject().Select(member => member.Name));
                Assert.All(printed.EnumerateObject().Where(member => !Varying.Contains(member.Name)), member => ShouldBeLike(member.Value, real.GetProperty(member.Name)));
                Assert.All(printed.EnumerateObject(), member => Assert.Equal(member.Value.ValueKind, real.GetProperty(member.Name).ValueKind));
                break;
            case JsonValueKind.Array:
                Assert.Equal(printed.GetArrayLength(), real.GetArrayLength());
                Assert.All(printed.EnumerateArray().Zip(real.EnumerateArray()), pair => ShouldBeLike(pair.First, pair.Second));
                break;
            default:
                Assert.Equal(printed.GetRawText(), real.GetRawText());
                break;
        }
    }

    [GeneratedRegex(@"txn-\d+")]
    private static partial Regex PrintedId();
}
