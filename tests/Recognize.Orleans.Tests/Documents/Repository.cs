using System.Runtime.CompilerServices;

namespace Recognize.Orleans.Documents;

/// <summary>The work tree that the tests were built from.</summary>
internal static class Repository
{
    private static readonly string[] NotOurs = ["bin", "obj", ".git", ".vs", ".idea", "artifacts", "TestResults", "node_modules", "app"];

    public static string Root { get; } = FindRoot();

    /// <summary>Every Markdown document, by its path from the root.</summary>
    public static IReadOnlyList<string> Documents { get; } = [.. Find(Root).Order(StringComparer.Ordinal)];

    public static string PathOf(string name) => Path.Combine(Root, name);

    public static Markdown Read(string document) => new(File.ReadAllText(PathOf(document)));

    private static IEnumerable<string> Find(string folder) =>
        Directory.EnumerateFiles(folder, "*.md").Select(file => Path.GetRelativePath(Root, file))
            .Concat(Directory.EnumerateDirectories(folder).Where(inner => !NotOurs.Contains(Path.GetFileName(inner))).SelectMany(Find));

    private static string FindRoot([CallerFilePath] string source = "") =>
        Path.GetFullPath(Path.Combine(Path.GetDirectoryName(source)!, "..", "..", ".."));
}
