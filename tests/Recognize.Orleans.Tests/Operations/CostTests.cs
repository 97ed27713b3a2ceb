using System.Diagnostics;
using System.Reflection;
using Microsoft.Extensions.Logging;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Processes;
using Xunit;

namespace Recognize.Orleans.Operations;

// What one call costs stands in a reviewed table, costs.md: whoever makes a call dearer changes a number there.
// Bytes are those of the whole process, so nothing runs beside these tests.
[Collection(MeasuredProcesses.Name)]
public sealed class CostTests
{
    [SkippableTheory]
    [InlineData(nameof(StorageEngine.Sqlite))]
    [InlineData(nameof(StorageEngine.PostgreSql))]
    public async Task Each_call_makes_the_grain_calls_activations_and_statements_of_the_table(string engine)
    {
        using var counters = new CostCounters();
        await using var service = await TestService.StartAsync(Enum.Parse<StorageEngine>(engine), configure: counters.Watch);

        var counted = CostedCalls.Measure(service, counters.Read, rounds: 3);

        CostTable.ShouldHold(engine, CostCounters.Columns, counted, unit: 0.1, tolerance: 0);
    }

    [SkippableTheory]
    [InlineData(nameof(StorageEngine.Sqlite))]
    [InlineData(nameof(StorageEngine.PostgreSql))]
    public async Task Each_call_allocates_the_bytes_of_the_table_within_a_tenth(string engine)
    {
        Skip.If(typeof(OperationSettings).Assembly.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled is true, "The table's bytes are those of a Release build.");
        await using var service = await TestService.StartAsync(Enum.Parse<StorageEngine>(engine), configure: builder => builder.Logging.ClearProviders());

        var allocated = CostedCalls.Measure(service, () => [GC.GetTotalAllocatedBytes(precise: true)], rounds: 12);

        CostTable.ShouldHold(engine, ["bytes"], allocated, unit: 100, tolerance: 0.1);
    }
}
