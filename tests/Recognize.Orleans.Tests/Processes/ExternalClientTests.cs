using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Orleans.Configuration;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Processes;

// What a program of somebody else does with the package of the grain interfaces and Orleans' client.
public sealed class ExternalClientTests
{
    [Fact]
    public async Task A_client_of_a_given_gateway_walks_the_journey()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await using var service = await ServiceProcess.StartAsync(database, "node-1");

        await WalkAsync(service, client => client.UseStaticClustering(new IPEndPoint(IPAddress.Loopback, service.GatewayPort)));
    }

    [SkippableTheory]
    [InlineData("PostgreSql", "Npgsql")]
    [InlineData("SqlServer", "Microsoft.Data.SqlClient")]
    public async Task A_client_that_finds_gateways_in_the_database_walks_the_journey(string engine, string invariant)
    {
        await using var database = await TestDatabase.CreateAsync(Enum.Parse<StorageEngine>(engine));
        await using var service = await ServiceProcess.StartAsync(database, "node-1");

        await WalkAsync(service, client => client.UseAdoNetClustering(options =>
        {
            options.Invariant = invariant;
            options.ConnectionString = database.ConnectionString;
        }));
    }

    private static async Task WalkAsync(ServiceProcess service, Action<IClientBuilder> findGateways)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new());
        builder.UseOrleansClient(client =>
        {
            client.Configure<ClusterOptions>(options => (options.ClusterId, options.ServiceId) = ("recognize", "recognize"));
            findGateways(client);
        });
        using var host = builder.Build();
        await host.StartAsync();
        var grains = host.Services.GetRequiredService<IClusterClient>();

        var (user, operation) = (grains.GetUser(new("acme", "A1")), grains.GetOperation(new("acme", "txn-1")));
        var created = await user.CreateAsync(new() { OperationId = "txn-1", Payload = "pay \0 5", Attempt = Guid.NewGuid().ToString("N") });
        var listed = await user.ListPendingAsync();
        var wrong = await operation.DecideAsync(new() { UserId = "B2", Verdict = Verdict.Approve, AuthType = AuthType.Pin });
        var decided = await operation.DecideAsync(new() { UserId = "A1", Verdict = Verdict.Approve, AuthType = AuthType.Pin, Payload = "pay \0 5" });

        Assert.Equal((OperationOutcome.Done, OperationOutcome.WrongUser, OperationOutcome.Done), (created, wrong, decided));
        Assert.Equal(("txn-1", "pay \0 5"), (Assert.Single(listed).OperationId, listed[0].Payload));
        Assert.Equal(OperationStatus.Approved, (await operation.GetAsync())!.Status);
        Assert.Empty(await user.ListPendingAsync());
        var (status, body) = await service.ReadAsync("txn-1");
        Assert.Equal((HttpStatusCode.OK, "approved"), (status, body.GetProperty("state").GetString()));
        Assert.Null(await grains.GetOperation(new("other", "txn-1")).GetAsync());
        await Assert.ThrowsAsync<ArgumentException>(() => user.CreateAsync(new() { OperationId = "..", Attempt = "1" }));
        await host.StopAsync();
    }
}
