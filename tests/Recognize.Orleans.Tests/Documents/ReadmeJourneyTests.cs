using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Documents;

public sealed class ReadmeJourneyTests
{
    [Theory]
    [InlineData("README.md", "A journey")]
    [InlineData("docs/getting-started.md", "The rest of the journey")]
    public async Task What_the_document_prints_is_answered_on_a_fresh_database_and_on_a_used_one(string document, string heading)
    {
        var journey = ShellJourney.In(document, heading);
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);
        await using var service = await ServiceProcess.StartAsync(database, "my-laptop", ("ASPNETCORE_ENVIRONMENT", "Development"));

        await journey.RunAsync(service.ApiUrl);
        await journey.RunAsync(service.ApiUrl);
    }
}
