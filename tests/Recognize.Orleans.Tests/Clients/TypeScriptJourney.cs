using System.Diagnostics;
using System.Text.Json;
using Recognize.Orleans.Documents;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Clients;

/// <summary>The journey of the client in TypeScript: a process that tells what it has done, a line for each step, and goes on when it reads one.</summary>
internal sealed class TypeScriptJourney : IClientJourney
{
    private readonly Process process;
    private readonly Task<string> errors;

    private TypeScriptJourney(Process process)
    {
        this.process = process;
        errors = process.StandardError.ReadToEndAsync();
    }

    /// <summary>Skips the test where Node.js or the built client is not there.</summary>
    public static async Task SkipUnlessBuiltAsync()
    {
        var why = await ExampleProcess.WhyNoNodeAsync()
            ?? (File.Exists(Repository.PathOf("clients/typescript/dist/index.js")) && Directory.Exists(Repository.PathOf("clients/typescript/node_modules"))
                ? null
                : "Run 'npm ci && npm run build' in clients/typescript to run this test.");
        Skip.If(why is not null, why);
    }

    public static async Task<IClientJourney> StartAsync(Uri api, string user, string id)
    {
        await SkipUnlessBuiltAsync();
        var start = new ProcessStartInfo("node", [Repository.PathOf("clients/typescript/test/journey.ts"), api.GetLeftPart(UriPartial.Authority), OperationScopes.Operations.DemoKey, OperationScopes.Decisions.DemoKey, user, id])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        return new TypeScriptJourney(Process.Start(start)!);
    }

    public async Task<(string Listed, string Seen)> AskAsync()
    {
        var step = await NextAsync();
        return (IdsIn(step.GetProperty("listed")), IdsIn(step.GetProperty("seen")));
    }

    public async Task<string> CreateWhereNothingRunsAsync()
    {
        await process.StandardInput.WriteLineAsync("killed");
        return (await NextAsync()).GetProperty("withoutKey").GetString()!;
    }

    public async Task<(string Status, string Others)> DecideAsync()
    {
        await process.StandardInput.WriteLineAsync("started again");
        var step = await NextAsync();
        return (step.GetProperty("status").GetString()!, IdsIn(step.GetProperty("rest")));
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill();
            await process.WaitForExitAsync();
        }

        process.Dispose();
    }

    private static string IdsIn(JsonElement ids) => string.Join(',', ids.EnumerateArray().Select(id => id.GetString()));

    private async Task<JsonElement> NextAsync()
    {
        var line = await process.StandardOutput.ReadLineAsync().WaitAsync(ServiceProcess.Patience);
        Assert.True(line is not null, line is null ? $"It ended:\n{await errors}" : null);
        return JsonDocument.Parse(line!).RootElement;
    }
}
