using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using Xunit;

namespace Recognize.Orleans.Documents;

/// <summary>What the documents name is there.</summary>
public sealed partial class DocumentTests
{
    private const int LongestReadme = 120;
    private const int LongestParagraph = 4;
    private const int LongestLine = 140;

    public static TheoryData<string> Documents => [.. Repository.Documents];

    [Theory]
    [MemberData(nameof(Documents))]
    public void Every_link_leads_to_a_file_and_to_a_heading_in_it(string document)
    {
        var folder = Path.GetDirectoryName(Repository.PathOf(document))!;

        Assert.All(Repository.Read(document).RelativeLinks, link =>
        {
            var target = link.Path.Length == 0 ? Repository.PathOf(document) : Path.GetFullPath(Path.Combine(folder, link.Path));
            Assert.StartsWith(Repository.Root, target, StringComparison.Ordinal);
            Assert.True(Path.Exists(target), $"{link.Path} does not exist.");
            Assert.True(link.Anchor.Length == 0 || new Markdown(File.ReadAllText(target)).Anchors.Contains(link.Anchor), $"{link.Path} has no heading #{link.Anchor}.");
        });
    }

    [Theory]
    [MemberData(nameof(Documents))]
    public void Every_file_that_is_named_exists(string document)
    {
        var text = string.Join('\n', Repository.Read(document).Lines);
        var named = PathFromRoot().Matches(text).Select(match => match.Value)
            .Concat(Repository.Read(document).CodeSpans.Where(span => FileAtRoot().IsMatch(span)));

        Assert.All(named, name => Assert.True(Path.Exists(Repository.PathOf(name)), $"{name} does not exist."));
    }

    [Theory]
    [MemberData(nameof(Documents))]
    public void No_address_of_a_person_is_named(string document) =>
        Assert.All(Address().Matches(string.Join('\n', Repository.Read(document).Lines)), address => Assert.EndsWith("@example.com", address.Value, StringComparison.Ordinal));

    [Fact]
    public void Whoever_begins_at_the_readme_finds_every_document()
    {
        var found = new HashSet<string>(StringComparer.Ordinal);
        Follow("README.md", found);

        Assert.Empty(Repository.Documents.Where(document => !document.StartsWith(".github", StringComparison.Ordinal)).Except(found));
    }

    [Fact]
    public void The_readme_is_short()
    {
        var readme = Repository.Read("README.md");

        Assert.InRange(readme.Lines.Count, 1, LongestReadme);
        Assert.All(readme.Paragraphs, paragraph =>
        {
            Assert.True(paragraph.Count <= LongestParagraph, $"More than {LongestParagraph} lines: {paragraph[0]}");
            Assert.All(paragraph, line => Assert.True(line.Length <= LongestLine || line.StartsWith('!'), $"More than {LongestLine} characters: {line}"));
        });
    }

    [Fact]
    public void Every_dependency_is_recorded_with_its_work()
    {
        var packages = XDocument.Load(Repository.PathOf("Directory.Packages.props")).Descendants("PackageVersion").Select(package => package.Attribute("Include")!.Value)
            .Concat(NamesIn("tools/package.json", "devDependencies"))
            .Concat(NamesIn("clients/typescript/package.json", "dependencies"))
            .Concat(NamesIn("clients/typescript/package.json", "devDependencies"))
            .Concat(NamesIn(".config/dotnet-tools.json", "tools"))
            .Distinct();
        var recorded = Repository.Read("docs/decisions/022-dependencies.md").RowsUnder("Choice").ToList();

        Assert.Equal(packages.Order(StringComparer.Ordinal), recorded.SelectMany(row => row[0].Split(", ")).Order(StringComparer.Ordinal));
        Assert.All(recorded, row => Assert.All(row, cell => Assert.NotEmpty(cell)));
    }

    [Fact]
    public void Every_decision_says_what_why_and_until_when()
    {
        var decisions = Repository.Documents.Where(document => DecisionName().IsMatch(document)).ToList();
        var listed = Repository.Read("docs/decisions/README.md").RelativeLinks.Select(link => $"docs/decisions/{link.Path}");

        Assert.Equal(decisions, listed);
        Assert.All(decisions, decision => Assert.Equal(["Choice", "Reason", "What would change it"], Repository.Read(decision).Headings.Skip(1)));
    }

    private static IEnumerable<string> NamesIn(string file, string member) =>
        JsonNode.Parse(File.ReadAllText(Repository.PathOf(file)))![member]!.AsObject().Select(package => package.Key);

    // Not after a slash, where it is a part of another path or of a URL, and not before what stands for a name.
    private static void Follow(string document, HashSet<string> found)
    {
        if (!document.EndsWith(".md", StringComparison.Ordinal) || !found.Add(document))
        {
            return;
        }

        foreach (var (path, _) in Repository.Read(document).RelativeLinks.Where(link => link.Path.Length > 0))
        {
            Follow(Path.GetRelativePath(Repository.Root, Path.GetFullPath(Path.Combine(Path.GetDirectoryName(Repository.PathOf(document))!, path))), found);
        }
    }

    [GeneratedRegex(@"(?<![\w/.<-])(?:src|sql|tests|docs|examples|clients|tools|deploy|\.github|\.ci)/[\w./-]*\w(?![\w*…<])")]
    private static partial Regex PathFromRoot();

    [GeneratedRegex(@"^[\w.-]+\.(?:md|yml|props|sln)$|^LICENSE$|^NOTICE$")]
    private static partial Regex FileAtRoot();

    [GeneratedRegex(@"[\w.+-]+@[\w-]+(?:\.[a-z]{2,})+")]
    private static partial Regex Address();

    [GeneratedRegex(@"^docs/decisions/\d{3}-.+\.md$")]
    private static partial Regex DecisionName();
}
