using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Documents;

public sealed class DocsPageTests(ExampleTests.DevelopmentService fixture) : IClassFixture<ExampleTests.DevelopmentService>
{
    [Fact]
    public async Task The_page_of_the_api_begins_with_the_keys_of_the_demo_customer_each_at_its_scheme()
    {
        var newcomer = new ApiClient(fixture.Service.ApiUrl, key: null);

        var page = (await newcomer.GetAsync("/docs/")).ShouldBe(200).Body;

        Assert.Matches($$""""OperationsKey":{[^}]*"value":"{{OperationScopes.Operations.DemoKey}}"""", page);
        Assert.Matches($$""""DecisionsKey":{[^}]*"value":"{{OperationScopes.Decisions.DemoKey}}"""", page);
    }
}
