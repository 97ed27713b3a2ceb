using System.Runtime.InteropServices;
using Recognize.Orleans.Benchmarks;
using Recognize.Orleans.Benchmarks.Servers;

switch (args)
{
    case ["serve", "constant"]:
        await ConstantServer.RunAsync();
        return 0;
    case ["serve", "baseline", var engine]:
        await BaselineServer.RunAsync(engine);
        return 0;
    case ["serve", "floor", var engine]:
        await FloorServer.RunAsync(engine);
        return 0;
    case ["greedy-client", var flood, var port, var headers, var connections]:
        GreedyClient.Run(flood, port, headers, connections);
        return 0;
    case ["--help" or "-h"]:
        Console.WriteLine(Options.Usage);
        return 0;
}

var word = args is ["growth" or "start" or "wait" or "sweep" or "greedy", ..] ? args[0] : null;
if (Options.Parse(args[(word is null ? 0 : 1)..], out var fault) is not { } options)
{
    await Console.Error.WriteLineAsync($"{fault}\n\n{Options.Usage}");
    return 2;
}

// The servers are children of this process: whatever ends it in an orderly way, Ctrl-C included, ends them first.
using var cancellation = new CancellationTokenSource();
using var interrupted = PosixSignalRegistration.Create(PosixSignal.SIGINT, Cancel);
using var terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Cancel);
try
{
    await (word switch
    {
        "growth" => new Growth(options).RunAsync(cancellation.Token),
        "start" => new StartAndMemory(options).RunAsync(cancellation.Token),
        "wait" => new Waiting(options).RunAsync(cancellation.Token),
        "sweep" => new Sweeping(options).RunAsync(cancellation.Token),
        "greedy" => new Greedy(options).RunAsync(cancellation.Token),
        _ => new Benchmark(options).RunAsync(cancellation.Token),
    });
    return 0;
}
catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
{
    await Console.Error.WriteLineAsync("Stopped before the end; nothing is reported.");
    return 130;
}
catch (BenchmarkException failure)
{
    await Console.Error.WriteLineAsync(failure.Message);
    return 1;
}

void Cancel(PosixSignalContext context)
{
    context.Cancel = true;
    cancellation.Cancel();
}
