using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.CSharp.Syntax;
using Recognize.Orleans.Documents;
using Xunit;

namespace Recognize.Orleans.House;

// A test reads from top to bottom: what it repeats is an assertion about all items, or has a name in a helper. Read from the source,
// because the compiler makes loops of its own.
public sealed class LoopTests
{
    private static readonly string Folder = Repository.PathOf("tests/Recognize.Orleans.Tests");

    [Fact]
    public void No_test_has_a_loop()
    {
        var loops = Directory.EnumerateFiles(Folder, "*.cs", SearchOption.AllDirectories)
            .Select(file => Path.GetRelativePath(Folder, file).Replace('\\', '/'))
            .Where(file => !file.StartsWith("bin/", StringComparison.Ordinal) && !file.StartsWith("obj/", StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .SelectMany(file => LoopsIn(File.ReadAllText(Path.Combine(Folder, file))).Select(loop => $"{file}, {loop}"))
            .ToList();

        Assert.True(loops.Count == 0, $"{loops.Count} loops in tests:\n{string.Join('\n', loops)}");
    }

    [Theory]
    [InlineData("for (;;) { }")]
    [InlineData("foreach (var one in many) { }")]
    [InlineData("foreach (var (one, other) in many) { }")]
    [InlineData("await foreach (var one in many) { }")]
    [InlineData("while (true) { }")]
    [InlineData("do { } while (true);")]
    [InlineData("Act(() => { while (true) { } });")]
    [InlineData("Act(); void Act() { while (true) { } }")]
    public void A_loop_is_found_of_every_kind_and_wherever_it_hides_in_a_test(string body)
    {
        Assert.Equal(["line 1, Some_test"], LoopsIn($$"""class Tests { [SkippableFact] public async Task Some_test() { {{body}} } }"""));
        Assert.Equal(["line 1, Some_test"], LoopsIn($$"""class Tests { [Theory, InlineData(1)] public void Some_test(int number) { {{body}} } }"""));
        Assert.Empty(LoopsIn($$"""class Tests { [Fact] public void Some_test() => Help(); private static void Help() { {{body}} } }"""));
    }

    private static IEnumerable<string> LoopsIn(string source) =>
        from test in CSharpSyntaxTree.ParseText(source).GetRoot().DescendantNodes().OfType<MethodDeclarationSyntax>().Where(IsTest)
        from loop in test.DescendantNodes().Where(node => node is CommonForEachStatementSyntax or ForStatementSyntax or WhileStatementSyntax or DoStatementSyntax)
        select $"line {loop.GetLocation().GetLineSpan().StartLinePosition.Line + 1}, {test.Identifier.Text}";

    private static bool IsTest(MethodDeclarationSyntax method) => method.AttributeLists
        .SelectMany(list => list.Attributes)
        .Any(attribute => attribute.Name.ToString() is "Fact" or "Theory" or "SkippableFact" or "SkippableTheory");
}
