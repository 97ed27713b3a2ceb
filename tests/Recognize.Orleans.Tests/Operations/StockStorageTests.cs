using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Operations;

public sealed class StockStorageOnSqlite() : StockStorageTests(StorageEngine.Sqlite);

public sealed class StockStorageOnPostgreSql() : StockStorageTests(StorageEngine.PostgreSql);

public sealed class StockStorageOnSqlServer() : StockStorageTests(StorageEngine.SqlServer);

// A create takes another way where each row is written by itself; clients see no difference.
public abstract class StockStorageTests
{
    private readonly StorageEngine engine;

    private protected StockStorageTests(StorageEngine engine) => this.engine = engine;

    [SkippableFact]
    public async Task Creates_are_answered_alike_on_the_storage_of_Orleans()
    {
        await using var service = await TestService.StartAsync(engine, new() { ["Recognize:Storage:GroupCommit"] = "false", ["Recognize:Operations:PendingLimit"] = "1" });
        var (api, user, other) = (service.Acme, ApiClient.NewUser(), ApiClient.NewUser());

        (await api.CreateAsync(user, "txn-1", "pay 5", idempotencyKey: "key-1")).ShouldBeSuccess();
        (await api.CreateAsync(user, "txn-1", "pay 5", idempotencyKey: "key-1")).ShouldBeSuccess();
        (await api.CreateAsync(user, "txn-1", "pay 6", idempotencyKey: "key-1")).ShouldBe(OperationProblems.IdempotencyKeyReused);
        (await api.CreateAsync(user, "txn-1")).ShouldBe(OperationProblems.Exists);
        (await api.CreateAsync(other, "txn-1")).ShouldBe(OperationProblems.Exists);
        (await api.CreateAsync(user, "txn-2")).ShouldBe(OperationProblems.PendingLimitReached);

        Assert.Equal("txn-1", (await api.ListAsync(user)).ShouldBe(200).Json[0].GetProperty("operationId").GetString());
        Assert.Equal("[]", (await api.ListAsync(other)).ShouldBe(200).Body);
        (await api.DecideAsync("txn-1", user)).ShouldBeSuccess();
        (await api.CreateAsync(user, "txn-2")).ShouldBeSuccess();
    }
}
