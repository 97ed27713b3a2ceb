using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>The gauges of the whole service tell what is in the database.</summary>
public sealed class PendingCountTests
{
    [SkippableTheory]
    [InlineData(nameof(StorageEngine.Sqlite))]
    [InlineData(nameof(StorageEngine.PostgreSql))]
    [InlineData(nameof(StorageEngine.SqlServer))]
    public async Task What_is_pending_is_counted_over_all_users_and_customers_and_shown(string engine)
    {
        await using var database = await TestDatabase.CreateAsync(Enum.Parse<StorageEngine>(engine));
        await using (var before = await TestService.StartAsync(database))
        {
            (await before.Acme.CreateAsync("A1", "txn-1")).ShouldBeSuccess();
            (await before.Acme.CreateAsync("B2", "txn-2")).ShouldBeSuccess();
            (await before.Acme.CreateAsync("B2", "txn-3")).ShouldBeSuccess();
            (await new ApiClient(before.Api, TestCustomers.GlobexBoth).CreateAsync("A1", "txn-1")).ShouldBeSuccess();
            (await before.Acme.DecideAsync("txn-3", "B2")).ShouldBeSuccess();
        }

        await using var service = await TestService.StartAsync(database, new() { ["Recognize:Operations:Retention"] = "01:00:00" });

        Assert.Equal(3, await service.Services.GetRequiredService<OperationHistory>().CountPendingAsync(CancellationToken.None));
        Assert.Equal(3, await Gauge.ReadAsync(service, "recognize.pending"));
        Assert.InRange(await Gauge.ReadAsync(service, "recognize.retention.lag"), 0, 60);
    }
}
