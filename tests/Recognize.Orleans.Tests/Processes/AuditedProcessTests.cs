using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Processes;

public sealed class AuditedProcessTests
{
    [Theory]
    [InlineData("Logging:LogLevel:Recognize.Audit")]
    [InlineData("Logging:Console:LogLevel:Recognize.Audit")]
    public async Task No_level_of_the_log_silences_the_audit_log(string level)
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("Recognize:Audit", "true"), (level, "None"));

        await service.CreateAsync("A1", "txn-1");

        await service.SeesAsync("\"action\":\"create\"");
    }
}
