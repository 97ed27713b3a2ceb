using System.Text.RegularExpressions;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.House;

// What stands below the features does not know them, not even by a word: a feature brings its types, settings, metrics,
// problems and keys along. Read from the source, names and texts alike.
public sealed partial class FeatureWordTests
{
    private static readonly string Service = Repository.PathOf("src/Recognize.Orleans");

    private static readonly string[] Below = ["Api", "Customers", "State", "Cluster", "Storage", "Foundation"];

    // Of each feature: beginnings of words, and the beginning of its keys.
    private static readonly Dictionary<string, string[]> Words = new()
    {
        ["Operations"] = ["operation", "pending", "decision", "decid", "approv", "verdict", "deni", "deny", "expir", "histor", "retention", "tombstone", "op/"],
    };

    // Names of the framework and of standards, in which such a word means something else.
    private static readonly string[] OfOthers = ["InvalidOperationException", "OperationCanceledException", "db.operation.name", "db.operation.batch.size"];

    // Where a lower folder may say such a word, and why.
    private static readonly (string File, string Name, string Why)[] Ports =
    [
        ("Api/OpenApi.cs", "Recognize.Orleans Operations API", "The page has the name of the API."),
        ("Customers/CustomerDirectory.cs", "OperationLimits", "A customer's name is part of the keys of grains, whose rules are in the public contract."),
    ];

    [Fact]
    public void Nothing_below_the_features_has_a_word_of_theirs()
    {
        var found = Below
            .SelectMany(folder => Directory.EnumerateFiles(Path.Combine(Service, folder), "*.cs", SearchOption.AllDirectories))
            .Select(file => Path.GetRelativePath(Service, file).Replace('\\', '/'))
            .Order(StringComparer.Ordinal)
            .SelectMany(file => NamesIn(File.ReadAllText(Path.Combine(Service, file))).Select(name => (File: file, Name: name)))
            .ToList();
        var unexplained = found.Except(Ports.Select(port => (port.File, port.Name))).Select(one => $"{one.File}: {one.Name.Split('\n')[0]}").ToList();

        Assert.True(unexplained.Count == 0, $"{unexplained.Count} words of features below them:\n{string.Join('\n', unexplained)}");
        Assert.DoesNotContain(Ports, port => !found.Contains((port.File, port.Name)));
    }

    [Fact]
    public void Every_feature_has_its_words() => Assert.Equal(FolderTests.Features.Order(), Words.Keys.Order());

    [Theory]
    [InlineData("class OperationSettings;", "OperationSettings")]
    [InlineData("int pendingLimit;", "pendingLimit")]
    [InlineData("string text = \"the operation's owner\";", "the operation's owner")]
    [InlineData("string key = $\"op/{id}\";", "op/")]
    [InlineData("var text = \"\"\"{ \"expiresIn\": 5 }\"\"\";", "{ \"expiresIn\": 5 }")]
    [InlineData("var name = \"recognize.operations.created\"u8;", "recognize.operations.created")]
    [InlineData("var all = PENDING_KEYS;", "PENDING_KEYS")]
    public void A_word_is_found_in_a_name_and_in_a_text(string source, string name) => Assert.Equal([name], NamesIn(source));

    [Theory]
    [InlineData("throw new InvalidOperationException();")]
    [InlineData("catch (OperationCanceledException) { }")]
    [InlineData("span.SetTag(\"db.operation.name\", name);")]
    [InlineData("// An operation is pending.")]
    [InlineData("/// <summary>An operation.</summary>\nclass Row;")]
    [InlineData("var shop = \"shop/\";")]
    [InlineData("Suspending(appending);")]
    public void Other_words_and_comments_are_none(string source) => Assert.Empty(NamesIn(source));

    private static IEnumerable<string> NamesIn(string source) => CSharpSyntaxTree.ParseText(source).GetRoot().DescendantTokens()
        .Where(token => token.IsKind(SyntaxKind.IdentifierToken) || token.Value is string)
        .Select(token => token.ValueText)
        .Where(name => !OfOthers.Contains(name) && Word().Matches(name).Any(word => Words.Values.Any(feature => feature.Any(begin => word.Value.StartsWith(begin, StringComparison.OrdinalIgnoreCase)))))
        .Distinct();

    // One word of a name is a hump of it; one of a text may be the beginning of a key.
    [GeneratedRegex("[A-Z]?[a-z]+/?|[A-Z]+(?![a-z])")]
    private static partial Regex Word();
}
