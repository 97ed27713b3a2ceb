using System.Runtime.CompilerServices;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Storage.SqlServer;

// What a silo sends is what its driver sends: the text, and the parameters with the types and sizes that the server makes a plan for.
public sealed class SqlServerStatementTests
{
    private const string RenewVariable = "RECOGNIZE_RENEW_SNAPSHOTS";

    // More parameters than this no statement may have.
    private const int MostParameters = 2_100;

    public static TheoryData<string> Statements => [.. Reviewed().Select(statement => statement.Call)];

    [Fact]
    public async Task Every_statement_is_a_reviewed_one()
    {
        var snapshot = SnapshotPath();
        var sent = Written(await SqlServerStatements.SendAsync(1, 4));
        if (Environment.GetEnvironmentVariable(RenewVariable) == "1")
        {
            await File.WriteAllTextAsync(snapshot, sent);
        }

        Assert.True(
            await File.ReadAllTextAsync(snapshot) == sent,
            $"What is sent to SQL Server is not {snapshot}. If the change is meant, run the test with {RenewVariable}=1 and review the difference.");
    }

    [Theory]
    [MemberData(nameof(Statements))]
    public void Every_statement_parses(string call) => Assert.Empty(TSql.ErrorsIn(Of(call).Text));

    [Theory]
    [MemberData(nameof(Statements))]
    public void No_statement_uses_what_some_servers_lack(string call) => Assert.Empty(TSql.ForbiddenIn(Of(call).Text));

    [Theory]
    [MemberData(nameof(Statements))]
    public void Every_column_and_every_variable_of_a_statement_is_there(string call)
    {
        Assert.Empty(TSql.UnknownColumnsIn(Of(call).Text));
        Assert.Empty(TSql.UnknownVariablesIn(Of(call).Text, Of(call).Parameters));
    }

    // A type or a size that follows the value makes a plan for each value.
    [Theory]
    [MemberData(nameof(Statements))]
    public void Every_parameter_has_the_type_and_the_size_of_its_column(string call) => Assert.All(
        TSql.ParametersIn(Of(call).Parameters),
        parameter => Assert.Contains(parameter.Type, (string[])["int", "datetime2(7)", "varbinary(max)", "nvarchar(150)", "nvarchar(512)", "varchar(220)", "varchar(45)"]));

    [Theory]
    [InlineData(2, 4)]
    [InlineData(3, 4)]
    [InlineData(5, 16)]
    [InlineData(17, 64)]
    [InlineData(65, 128)]
    [InlineData(127, 128)]
    public async Task Groups_of_about_one_size_are_one_statement(int size, int padded) =>
        Assert.Equal((await SqlServerStatements.SendAsync(padded)).Select(statement => statement.Sent), (await SqlServerStatements.SendAsync(size)).Select(statement => statement.Sent));

    [Fact]
    public async Task The_largest_group_has_fewer_parameters_than_the_server_takes()
    {
        var sent = await SqlServerStatements.SendAsync(new GroupCommitLimits().Group);

        Assert.All(sent, statement => Assert.InRange(TSql.ParametersIn(statement.Sent.Parameters).Count(), 0, MostParameters - 1));
        Assert.Equal(new GroupCommitLimits().Group, SqlServerGroups.Sizes[^1]);
    }

    private static string Written(IEnumerable<(string Call, TdsStatement Sent)> statements) => string.Concat(
        statements.Select(statement => $"-- {statement.Call}\n--{statement.Sent.Parameters}\n{statement.Sent.Text.ReplaceLineEndings("\n").TrimEnd('\n')}\nGO\n\n"));

    private static IEnumerable<(string Call, TdsStatement Statement)> Reviewed() =>
        from statement in File.ReadAllText(SnapshotPath()).Split("\nGO\n\n", StringSplitOptions.RemoveEmptyEntries)
        let lines = statement.Split('\n', 3)
        select (lines[0][3..], new TdsStatement(lines[2], lines[1][2..]));

    private static TdsStatement Of(string call) => Reviewed().Single(statement => statement.Call == call).Statement;

    private static string SnapshotPath([CallerFilePath] string source = "") => Path.Combine(Path.GetDirectoryName(source)!, "sqlserver-statements.sql");
}
