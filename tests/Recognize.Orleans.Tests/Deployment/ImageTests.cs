using System.Text.RegularExpressions;
using System.Xml.Linq;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.Deployment;

/// <summary>The Dockerfile and the container settings of the project make the same image. Neither is built here.</summary>
public sealed partial class ImageTests
{
    /// <summary>The user of the base image that has no rights.</summary>
    public const string User = "1654";

    private static readonly string[] Dockerfile = File.ReadAllLines(Repository.PathOf("src/Recognize.Orleans/Dockerfile"));

    private static readonly XDocument Project = XDocument.Load(Repository.PathOf("src/Recognize.Orleans/Recognize.Orleans.csproj"));

    // From its last FROM on.
    private static readonly string[] Final = [.. Dockerfile.Reverse().TakeWhile(line => !line.StartsWith("FROM ", StringComparison.Ordinal)).Reverse()];

    [Fact]
    public void It_is_built_from_files_that_exist()
    {
        var sources = Dockerfile.Where(line => line.StartsWith("COPY ", StringComparison.Ordinal) && !line.Contains("--from", StringComparison.Ordinal))
            .SelectMany(line => line.Split(' ')[1..^1])
            .ToList();

        Assert.NotEmpty(sources);
        Assert.All(sources, source => Assert.True(Path.Exists(Repository.PathOf(source)), source));
    }

    [Fact]
    public void It_restores_what_is_locked() =>
        Assert.Contains(Dockerfile, line => line.StartsWith("RUN CI=true dotnet publish ", StringComparison.Ordinal));

    [Fact]
    public void Both_ways_begin_with_the_same_small_image() =>
        Assert.Equal([$"FROM {Property("ContainerBaseImage")}"], Dockerfile.Where(line => line.StartsWith("FROM ", StringComparison.Ordinal)).Skip(1));

    [Fact]
    public void It_has_no_shell_but_cultures() =>
        Assert.EndsWith("-chiseled-extra", Property("ContainerBaseImage"), StringComparison.Ordinal);

    [Fact]
    public void It_runs_as_no_root()
    {
        Assert.Equal("USER $APP_UID", Final[^2]);
        Assert.Equal(User, Property("ContainerUser"));
    }

    [Fact]
    public void It_runs_the_service() =>
        Assert.Equal("ENTRYPOINT [\"dotnet\", \"Recognize.Orleans.dll\"]", Final[^1]);

    [Fact]
    public void Its_one_volume_belongs_to_its_user()
    {
        Assert.Equal(["VOLUME /data"], Final.Where(line => line.StartsWith("VOLUME ", StringComparison.Ordinal)));
        Assert.Contains("COPY --from=build --chown=$APP_UID:$APP_UID /data /data", Final);
    }

    [Fact]
    public void The_api_is_the_one_port_that_it_exposes()
    {
        Assert.Equal(["EXPOSE 8080"], Final.Where(line => line.StartsWith("EXPOSE ", StringComparison.Ordinal)));
        Assert.Equal(["8080"], Items("ContainerPort"));
    }

    [Fact]
    public void The_runtime_writes_nothing_to_its_root()
    {
        Assert.Contains("ENV DOTNET_EnableDiagnostics=0", Final);
        Assert.Equal(["DOTNET_EnableDiagnostics"], Items("ContainerEnvironmentVariable"));
    }

    [Theory]
    [InlineData("title", "ContainerTitle")]
    [InlineData("description", "ContainerDescription")]
    [InlineData("licenses", "ContainerLicenseExpression")]
    public void Both_ways_give_it_the_same_labels(string label, string property) =>
        Assert.Equal(Property(property), Labels()[label]);

    [Fact]
    public void A_release_says_which_sources_it_has()
    {
        Assert.Equal(["$REVISION", "$SOURCE", "$VERSION"], Labels().Values.Where(value => value.StartsWith('$')).Order(StringComparer.Ordinal));
        Assert.All(["REVISION", "SOURCE", "VERSION"], argument => Assert.Contains($"--build-arg {argument}=", File.ReadAllText(Repository.PathOf(".github/workflows/release.yml")), StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("src/Recognize.Orleans")]
    [InlineData("src/Recognize.Orleans.Abstractions")]
    public void Its_architectures_are_locked(string project)
    {
        var locked = File.ReadAllText(Repository.PathOf($"{project}/packages.lock.json"));

        Assert.All(["net10.0/linux-x64", "net10.0/linux-arm64"], target => Assert.Contains($"\"{target}\"", locked, StringComparison.Ordinal));
    }

    private static string Property(string name) => Project.Descendants(name).Single().Value;

    private static IEnumerable<string> Items(string name) => Project.Descendants(name).Select(item => item.Attribute("Include")!.Value);

    private static Dictionary<string, string> Labels() =>
        Label().Matches(string.Join('\n', Final)).ToDictionary(match => match.Groups[1].Value, match => match.Groups[2].Value);

    [GeneratedRegex(@"org\.opencontainers\.image\.(\w+)=""([^""]+)""")]
    private static partial Regex Label();
}
