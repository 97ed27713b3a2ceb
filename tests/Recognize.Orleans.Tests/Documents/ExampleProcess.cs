using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Documents;

/// <summary>An example of a relying party that runs.</summary>
internal sealed class ExampleProcess : IAsyncDisposable
{
    // The first start of the example in C# compiles it.
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(4);

    // Since then Node.js leaves types out by itself.
    private static readonly Version LeastNode = new(22, 18);

    private readonly Process process;
    private readonly Task<string> output;
    private readonly Task<string> errors;

    private ExampleProcess(Process process)
    {
        this.process = process;
        output = process.StandardOutput.ReadToEndAsync();
        errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>Starts it as the documents say; skips the test where its program is not there.</summary>
    public static async Task<ExampleProcess> StartAsync(string program, string example, Uri api, params string[] arguments)
    {
        var why = program is "node" ? await WhyNoNodeAsync() : null;
        Skip.If(why is not null, why);
        var path = Repository.PathOf($"examples/{example}");
        var start = program switch
        {
            "dotnet" => new ProcessStartInfo(Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? program, ["run", path, "--", .. arguments]),
            "bash" => new ProcessStartInfo(path, arguments),
            _ => new ProcessStartInfo(program, [path, .. arguments]),
        };

        // The build of the test run must not configure the build of the example.
        foreach (var variable in start.Environment.Keys.Where(key => key.StartsWith("MSBUILD", StringComparison.OrdinalIgnoreCase) || key is "DOTNET_HOST_PATH").ToList())
        {
            start.Environment.Remove(variable);
        }

        // Nothing of a build stays behind: it would hold on to the output.
        start.Environment["MSBUILDDISABLENODEREUSE"] = "1";
        start.Environment["UseSharedCompilation"] = "false";
        start.Environment["RECOGNIZE_URL"] = api.GetLeftPart(UriPartial.Authority);
        start.RedirectStandardOutput = start.RedirectStandardError = true;
        return new(Process.Start(start)!);
    }

    /// <summary>The id of the operation that it asks the user to approve.</summary>
    public async Task<string> AsksAsync(ApiClient approver, string user)
    {
        var time = Stopwatch.StartNew();
        var list = await approver.ListAsync(user);
        while (list.ShouldBe(200).Json.GetArrayLength() == 0)
        {
            Assert.False(process.HasExited || time.Elapsed > Patience, process.HasExited ? $"It ended:\n{await output}\n{await errors}" : "It asked nothing.");
            var next = await approver.GetAsync($"/v2/users/{user}/operations/pending", ("If-None-Match", list["ETag"]!), ("Prefer", "wait=5"));
            list = next.Status == 304 ? list : next;
        }

        return list.Json[0].GetProperty("operationId").GetString()!;
    }

    /// <summary>Its exit code and the operation that it has printed.</summary>
    public async Task<(int Code, JsonElement Operation)> ExitAsync()
    {
        await process.WaitForExitAsync().WaitAsync(Patience);
        var text = await output;
        Assert.True(text.StartsWith('{'), $"{text}\n{await errors}");
        return (process.ExitCode, JsonDocument.Parse(text).RootElement);
    }

    /// <summary>Why no Node.js runs TypeScript here; null where one does.</summary>
    public static async Task<string?> WhyNoNodeAsync()
    {
        var sentence = $"Install Node.js {LeastNode} or later to run this test.";
        try
        {
            using var node = Process.Start(new ProcessStartInfo("node", ["--version"]) { RedirectStandardOutput = true })!;
            var version = (await node.StandardOutput.ReadToEndAsync()).Trim().TrimStart('v');
            await node.WaitForExitAsync();

            // Of the versions without long support 23.6 was the first.
            return Version.TryParse(version, out var found) && (found >= new Version(23, 6) || (found.Major == LeastNode.Major && found >= LeastNode)) ? null : $"{sentence} This is {version}.";
        }
        catch (Win32Exception)
        {
            return sentence;
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill(entireProcessTree: true);
            await process.WaitForExitAsync();
        }

        process.Dispose();
    }
}
