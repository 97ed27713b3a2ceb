using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Documents;

/// <summary>The relying parties of examples/, each as a process of its own.</summary>
public sealed class ExampleTests(ExampleTests.DevelopmentService fixture) : IClassFixture<ExampleTests.DevelopmentService>
{
    // What JSON and a shell must escape.
    private const string Payload = "Pay \"$500\" to Zo\u00EB, account 12\\34";

    private readonly string user = ApiClient.NewUser();

    [SkippableTheory]
    [InlineData("bash", "relying-party.sh", "approve", "approved", 0)]
    [InlineData("bash", "relying-party.sh", "deny", "denied", 1)]
    [InlineData("node", "relying-party.ts", "approve", "approved", 0)]
    [InlineData("node", "relying-party.ts", "deny", "denied", 1)]
    [InlineData("dotnet", "relying-party.cs", "approve", "approved", 0)]
    [InlineData("dotnet", "relying-party.cs", "deny", "denied", 1)]
    public async Task An_example_asks_and_ends_with_what_the_user_decided(string program, string example, string decision, string status, int exitCode)
    {
        var approver = new ApiClient(fixture.Service.ApiUrl, OperationScopes.Decisions.DemoKey);
        await using var party = await ExampleProcess.StartAsync(program, example, fixture.Service.ApiUrl, user, Payload);

        var id = await party.AsksAsync(approver, user);
        (await approver.DecideAsync(id, user, decision, payload: Payload)).ShouldBeSuccess();
        var (code, operation) = await party.ExitAsync();

        Assert.Equal(
            (exitCode, id, status, Payload),
            (code, operation.GetProperty("operationId").GetString(), operation.GetProperty("status").GetString(), operation.GetProperty("operationPayload").GetString()));
    }

    /// <summary>The service as a newcomer starts it.</summary>
    public sealed class DevelopmentService : IAsyncLifetime
    {
        private TestDatabase? database;
        private ServiceProcess? service;

        internal ServiceProcess Service => service!;

        public async Task InitializeAsync()
        {
            database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
            service = await ServiceProcess.StartAsync(database, "node-1", ("ASPNETCORE_ENVIRONMENT", "Development"));
        }

        public async Task DisposeAsync()
        {
            await (service?.DisposeAsync() ?? ValueTask.CompletedTask);
            await (database?.DisposeAsync() ?? ValueTask.CompletedTask);
        }
    }
}
