using System.Text.Json.Nodes;
using System.Xml.Linq;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.Clients;

public sealed class ClientPackageTests
{
    [Fact]
    public void The_package_of_npm_has_the_version_and_the_licence_of_the_service()
    {
        var version = XDocument.Load(Repository.PathOf("Directory.Build.props")).Descendants("Version").Single().Value;
        var package = JsonNode.Parse(File.ReadAllText(Repository.PathOf("clients/typescript/package.json")))!;

        Assert.Equal(version, package["version"]!.GetValue<string>());
        Assert.Equal(File.ReadAllText(Repository.PathOf("LICENSE")), File.ReadAllText(Repository.PathOf("clients/typescript/LICENSE")));
    }
}
