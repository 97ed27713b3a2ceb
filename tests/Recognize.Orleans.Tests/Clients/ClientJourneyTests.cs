using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Clients;

/// <summary>The clients of the API, each on the same journey through a real process that is killed in the middle.</summary>
public sealed class ClientJourneyTests
{
    private static readonly (string Setting, string Value) WithDemo = ("ASPNETCORE_ENVIRONMENT", "Development");

    [SkippableFact]
    public Task The_client_in_typescript_hears_the_outcome_although_the_service_was_killed_meanwhile() => JourneyAsync(TypeScriptJourney.StartAsync);

    [Fact]
    public Task The_client_in_csharp_hears_the_outcome_although_the_service_was_killed_meanwhile() => JourneyAsync(DotNetJourney.StartAsync);

    private static async Task JourneyAsync(Func<Uri, string, string, Task<IClientJourney>> start)
    {
        var (user, id) = (ApiClient.NewUser(), ApiClient.NewId());
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var killed = await ServiceProcess.StartAsync(database, "node-1", WithDemo);
        await using var journey = await start(killed.ApiUrl, user, id);

        var asked = await journey.AskAsync();
        await killed.KillAsync();
        var lost = await journey.CreateWhereNothingRunsAsync();
        await using var service = await ServiceProcess.StartInPlaceOfAsync(killed, database, WithDemo);
        var end = await journey.DecideAsync();

        Assert.Equal((id, id), asked);
        Assert.Equal("lost", lost);
        Assert.Equal(("approved", $"{id}-later"), end);
    }
}

/// <summary>What each client does on the journey.</summary>
internal interface IClientJourney : IAsyncDisposable
{
    /// <summary>Creates an operation with a key, lists what is pending, follows it, and begins to wait for the outcome: the ids that are listed and seen.</summary>
    Task<(string Listed, string Seen)> AskAsync();

    /// <summary>Creates an operation without a key, and begins to create one with a key: what became of the first.</summary>
    Task<string> CreateWhereNothingRunsAsync();

    /// <summary>Awaits the create with the key, and approves with the approver's key: the outcome, and the ids that are followed once the operation is not among them.</summary>
    Task<(string Status, string Others)> DecideAsync();
}
