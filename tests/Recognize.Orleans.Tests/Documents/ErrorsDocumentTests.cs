using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Documents;

public sealed class ErrorsDocumentTests
{
    private static readonly Markdown Page = Repository.Read("docs/errors.md");

    [Fact]
    public void Every_problem_stands_once_under_its_status_and_no_other_does()
    {
        var documented = Statuses.SelectMany(status => Page.RowsUnder(status).Select(row => $"{status} {row[0].Trim('`')}")).ToList();
        var problems = Problems.All.Select(problem => $"{problem.Status} {problem.Type}").ToList();

        Assert.True(!problems.Except(documented).Any(), $"Add to docs/errors.md, under its status: {string.Join(", ", problems.Except(documented))}");
        Assert.Equal(problems.Order(StringComparer.Ordinal), documented.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Every_problem_has_a_cause_and_what_to_do() =>
        Assert.All(Statuses.SelectMany(Page.RowsUnder), row =>
        {
            Assert.Equal(3, row.Count);
            Assert.All(row, cell => Assert.NotEmpty(cell));
        });

    private static IEnumerable<string> Statuses => Page.Headings.Where(heading => heading.All(char.IsAsciiDigit));
}
