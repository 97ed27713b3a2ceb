using System.Globalization;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Documents;

public sealed class ErrorsDocumentTests
{
    private static readonly Markdown Page = Repository.Read("docs/errors.md");

    [Fact]
    public void Every_problem_stands_once_under_its_status_and_no_other_does()
    {
        var documented = Statuses.SelectMany(status => Page.RowsUnder(status).Select(row => (int.Parse(status, CultureInfo.InvariantCulture), row[0].Trim('`'))));

        Assert.Equal(Problems.All.Select(problem => (problem.Status, problem.Type)).Order(), documented.Order());
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
