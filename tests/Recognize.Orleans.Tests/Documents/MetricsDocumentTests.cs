using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Documents;

public sealed class MetricsDocumentTests
{
    [Fact]
    public async Task Every_instrument_is_documented_and_no_other_is()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new() { ["Recognize:Operations:Retention"] = "30.00:00:00" });

        Assert.Equal(
            Repository.Read("docs/operations.md").RowsUnder("Metrics").Select(row => row[0].Trim('`')).Order(StringComparer.Ordinal),
            InstrumentsOf(service).Order(StringComparer.Ordinal));
    }

    private static List<string> InstrumentsOf(TestService service)
    {
        var meters = service.Services.GetRequiredService<IMeterFactory>();
        var names = new List<string>();
        using var listener = new MeterListener
        {
            InstrumentPublished = (instrument, _) =>
            {
                if (instrument.Meter.Name is Instruments.MeterName && instrument.Meter.Scope == meters)
                {
                    names.Add(instrument.Name);
                }
            },
        };
        listener.Start();
        return names;
    }
}
