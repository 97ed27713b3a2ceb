using System.Diagnostics;
using System.Text.Json;

namespace Recognize.Orleans.Benchmarks;

/// <summary>
/// The process of a <see cref="GreedyClient"/>. It gives way to this process wherever both want a core, so that what the modest customer loses is taken by the server.
/// </summary>
internal sealed class GreedyCustomer : IAsyncDisposable
{
    private static readonly TimeSpan BetweenLooks = TimeSpan.FromMilliseconds(100);

    private readonly Process process;
    private readonly SemaphoreSlim asking = new(1);
    private readonly Server server;
    private bool isGoing;

    public GreedyCustomer(Server server, GreedyFlood flood, string apiKey, int connections, Cores cores)
    {
        this.server = server;
        var start = Server.StartInfo(new(
            typeof(GreedyCustomer).Assembly.Location,
            ["greedy-client", $"{flood}", $"{server.EndPoint.Port}", server.HeadersOf(apiKey), $"{connections}"],
            ReadyUrl: "",
            new Dictionary<string, string>())
        {
            By = cores.OfPoliteGenerators,
        });
        start.RedirectStandardInput = true;
        start.RedirectStandardError = false;
        process = Process.Start(start)!;
    }

    /// <summary>What it got since <see cref="Forget"/>, of all that is over.</summary>
    public Tally Got { get; private set; } = Tally.Nothing;

    /// <summary>Whether it was stopped for good.</summary>
    public bool IsStopped { get; private set; }

    public void Forget() => Got = Tally.Nothing;

    public Task<Tally> PrepareAsync(CancellationToken cancellationToken) => AskAsync("prepare", cancellationToken);

    public Task<Tally> TallyAsync(CancellationToken cancellationToken) => AskAsync("tally", cancellationToken);

    public async Task GoAsync(CancellationToken cancellationToken)
    {
        if (!IsStopped)
        {
            isGoing = true;
            await AskAsync("go", cancellationToken);
        }
    }

    public async Task StopAsync(CancellationToken cancellationToken)
    {
        if (isGoing)
        {
            isGoing = false;
            Got += await AskAsync("stop", cancellationToken);
        }
    }

    /// <summary>Looks again and again, and stops it for good when that must be.</summary>
    public async Task StopWhenAsync(Func<bool> mustStop, CancellationToken cancellationToken)
    {
        try
        {
            while (!mustStop())
            {
                await Task.Delay(BetweenLooks, cancellationToken);
            }

            IsStopped = true;
            await StopAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (!process.HasExited)
        {
            process.Kill();
            await process.WaitForExitAsync();
        }

        process.Dispose();
        asking.Dispose();
    }

    private async Task<Tally> AskAsync(string word, CancellationToken cancellationToken)
    {
        await asking.WaitAsync(cancellationToken);
        try
        {
            await process.StandardInput.WriteLineAsync(word.AsMemory(), cancellationToken);
            await process.StandardInput.FlushAsync(cancellationToken);
            return await process.StandardOutput.ReadLineAsync(cancellationToken) is { } line
                ? JsonSerializer.Deserialize<Tally>(line, JsonSerializerOptions.Web)!
                : throw server.Failure("was asked by a greedy customer whose process has ended");
        }
        finally
        {
            asking.Release();
        }
    }
}
