using System.Text.RegularExpressions;

namespace Recognize.Orleans.Documents;

/// <summary>What tests ask of a Markdown document: no more of the language than this project's documents use.</summary>
internal sealed partial class Markdown
{
    private const string Fence = "```";

    public Markdown(string text)
    {
        Lines = text.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n');
        var inside = false;
        var prose = new List<string>();
        var blocks = new List<CodeBlock>();
        var headings = new List<string>();
        foreach (var line in Lines)
        {
            if (line.StartsWith(Fence, StringComparison.Ordinal))
            {
                inside = !inside;
                prose.Add("");
                if (inside)
                {
                    blocks.Add(new(headings.LastOrDefault(""), line[Fence.Length..].Trim(), []));
                }
            }
            else if (inside)
            {
                blocks[^1].Lines.Add(line);
            }
            else
            {
                prose.Add(line);
                if (Heading().Match(line) is { Success: true } heading)
                {
                    headings.Add(heading.Groups[1].Value);
                }
            }
        }

        Prose = prose;
        Blocks = blocks;
        Headings = headings;
    }

    public IReadOnlyList<string> Lines { get; }

    /// <summary>The lines outside of fenced blocks.</summary>
    public IReadOnlyList<string> Prose { get; }

    /// <summary>The fenced blocks, in order.</summary>
    public IReadOnlyList<CodeBlock> Blocks { get; }

    public IReadOnlyList<string> Headings { get; }

    /// <summary>Where a link can lead to inside this document.</summary>
    public IEnumerable<string> Anchors => Headings.Select(heading => NotInAnchor().Replace(heading.ToLowerInvariant(), "").Replace(' ', '-'));

    /// <summary>The targets of its links and images.</summary>
    public IEnumerable<string> Links => Prose.SelectMany(line => Link().Matches(CodeSpan().Replace(line, "code"))).Select(match => match.Groups[1].Value);

    /// <summary>The links that do not lead to another site, without their anchors and with them.</summary>
    public IEnumerable<(string Path, string Anchor)> RelativeLinks => Links
        .Where(link => !link.Contains(':', StringComparison.Ordinal))
        .Select(link => link.Split('#', 2))
        .Select(parts => (parts[0], parts.ElementAtOrDefault(1) ?? ""));

    public IEnumerable<string> CodeSpans => Prose.SelectMany(line => CodeSpan().Matches(line)).Select(match => match.Value.Trim('`'));

    /// <summary>Lines that belong together: a list's item is one of its own; tables, headings and indented blocks are none.</summary>
    public IEnumerable<IReadOnlyList<string>> Paragraphs
    {
        get
        {
            var paragraph = new List<string>();
            foreach (var line in Prose.Append(""))
            {
                var isText = line.Length > 0 && !line.StartsWith('|') && !line.StartsWith('#') && !line.StartsWith("    ", StringComparison.Ordinal);
                if (paragraph.Count > 0 && (!isText || ListItem().IsMatch(line)))
                {
                    yield return paragraph;
                    paragraph = [];
                }

                if (isText)
                {
                    paragraph.Add(line);
                }
            }
        }
    }

    /// <summary>The rows of the tables under a heading, without their heads, each as its cells.</summary>
    public IEnumerable<IReadOnlyList<string>> RowsUnder(string heading) => Prose
        .SkipWhile(line => Heading().Match(line).Groups[1].Value != heading)
        .Skip(1)
        .TakeWhile(line => !Heading().IsMatch(line))
        .SkipWhile(line => !line.StartsWith("|--", StringComparison.Ordinal))
        .Skip(1)
        .Where(line => line.StartsWith('|'))
        .Select(line => (IReadOnlyList<string>)[.. UnescapedBar().Split(line)[1..^1].Select(cell => cell.Trim())]);

    [GeneratedRegex("^#{1,6} (.+)$")]
    private static partial Regex Heading();

    [GeneratedRegex(@"[^\w\- ]")]
    private static partial Regex NotInAnchor();

    [GeneratedRegex(@"\]\(([^)\s]+)\)")]
    private static partial Regex Link();

    [GeneratedRegex("`[^`]+`")]
    private static partial Regex CodeSpan();

    [GeneratedRegex(@"^\s*(?:-|\d+\.) ")]
    private static partial Regex ListItem();

    [GeneratedRegex(@"(?<!\\)\|")]
    private static partial Regex UnescapedBar();
}

/// <param name="Heading">The heading above it.</param>
/// <param name="Language">What follows its opening fence.</param>
/// <param name="Lines">Its lines, without the fences.</param>
internal sealed record CodeBlock(string Heading, string Language, List<string> Lines)
{
    public string Text => string.Join('\n', Lines);
}
