using Microsoft.SqlServer.TransactSql.ScriptDom;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Storage;

// SQL Server is not at hand on every development machine; its own parser is.
public sealed class SqlServerScriptTests
{
    private static readonly Dictionary<string, string> Statements = new()
    {
        [nameof(SqlServerRows.WriteText)] = SqlServerRows.WriteText,
        [nameof(SqlServerRows.ReadText)] = SqlServerRows.ReadText,
        [nameof(SqlServerRows.PendingText)] = SqlServerRows.PendingText,
        [nameof(SqlServerRows.HistoryText)] = SqlServerRows.HistoryText,
        [nameof(OperationHistory)] = string.Join("\n", OperationHistory.QueriesOf(Database.Create(StorageEngine.SqlServer, "Server=db;Database=recognize"))),
    };

    public static TheoryData<string> StatementNames => [.. Statements.Keys];

    public static TheoryData<string> Scripts => [.. Schema.Scripts(StorageEngine.SqlServer).Select(script => script.Script.Name)];

    public static IEnumerable<object[]> Queries =>
        from script in Schema.Scripts(StorageEngine.SqlServer)
        from query in QueriesIn(Parse(script.Script.Contents))
        select new object[] { script.Script.Name, query.Key };

    [Theory]
    [MemberData(nameof(Scripts))]
    public void Every_script_parses(string script) => Assert.Empty(FaultsIn(TextOf(script)));

    [Theory]
    [MemberData(nameof(Scripts))]
    public void No_script_uses_what_some_servers_lack(string script) => Assert.Empty(ForbiddenIn(TextOf(script)));

    [Theory]
    [MemberData(nameof(Queries))]
    public void Every_query_that_a_script_stores_parses(string script, string key) =>
        Assert.Empty(FaultsIn(QueriesIn(Parse(TextOf(script)))[key]));

    [Theory]
    [MemberData(nameof(Queries))]
    public void No_query_that_a_script_stores_uses_what_some_servers_lack(string script, string key) =>
        Assert.Empty(ForbiddenIn(QueriesIn(Parse(TextOf(script)))[key]));

    [Theory]
    [MemberData(nameof(StatementNames))]
    public void Every_statement_of_the_program_parses(string statement) => Assert.Empty(FaultsIn(Statements[statement]));

    [Theory]
    [MemberData(nameof(StatementNames))]
    public void No_statement_of_the_program_uses_what_some_servers_lack(string statement) => Assert.Empty(ForbiddenIn(Statements[statement]));

    [Fact]
    public void The_first_script_stores_every_query_that_the_providers_ask_for()
    {
        string[] expected =
        [
            "CleanupDefunctSiloEntriesKey", "CleanupDefunctSiloEntryKey", "ClearStorageKey", "DeleteMembershipTableEntriesKey", "DeleteStorageKey", "GatewaysQueryKey",
            "InsertMembershipKey", "InsertMembershipVersionKey", "MembershipReadAllKey", "MembershipReadRowKey", "ReadFromStorageKey",
            "UpdateIAmAlivetimeKey", "UpdateMembershipKey", "WriteToStorageKey",
        ];

        Assert.Equal(expected, QueriesIn(Parse(Schema.Scripts(StorageEngine.SqlServer)[0].Script.Contents)).Keys.Order(StringComparer.Ordinal));
    }

    // A client that goes on after an error begins with the next batch.
    [Fact]
    public void The_first_script_does_nothing_but_create_the_view_outside_the_batch_that_ends_when_there_is_a_schema()
    {
        var batches = ((TSqlScript)Parse(Schema.Scripts(StorageEngine.SqlServer)[0].Script.Contents)).Batches;

        Assert.IsType<ThrowStatement>(Assert.IsType<IfStatement>(batches[0].Statements[1]).ThenStatement);
        Assert.Equal(
            [typeof(CreateViewStatement), typeof(CommitTransactionStatement)],
            batches.Skip(1).SelectMany(batch => batch.Statements).Select(statement => statement.GetType()));
    }

    [Theory]
    [InlineData("MERGE T AS t USING S AS s ON t.Id = s.Id WHEN MATCHED THEN DELETE;")]
    [InlineData("CREATE OR ALTER VIEW V AS SELECT 1 AS One")]
    [InlineData("SELECT 1 FROM T WITH (HOLDLOCK)")]
    [InlineData("UPDATE T WITH (ROWLOCK, XLOCK) SET Id = 1")]
    [InlineData("ALTER TABLE T ALTER COLUMN Id INT NOT NULL")]
    [InlineData("WITH Old AS (SELECT Id FROM T) DELETE FROM Old")]
    [InlineData("WITH Old AS (SELECT Id FROM T) UPDATE Old SET Id = 1")]
    public void The_forbidden_is_recognized(string sql) => Assert.Single(ForbiddenIn(sql));

    private static string TextOf(string name) =>
        Schema.Scripts(StorageEngine.SqlServer).Single(script => script.Script.Name == name).Script.Contents;

    private static TSqlFragment Parse(string sql) => Parse(sql, out _);

    private static TSqlFragment Parse(string sql, out IList<ParseError> faults)
    {
        using var reader = new StringReader(sql);
        return new TSql160Parser(initialQuotedIdentifiers: true).Parse(reader, out faults);
    }

    private static IEnumerable<string> FaultsIn(string sql)
    {
        Parse(sql, out var faults);
        return faults.Select(fault => $"{fault.Line}:{fault.Column} {fault.Message}");
    }

    private static List<string> ForbiddenIn(string sql)
    {
        var visitor = new ForbiddenConstructs();
        Parse(sql).Accept(visitor);
        return visitor.Found;
    }

    private static Dictionary<string, string> QueriesIn(TSqlFragment script)
    {
        var visitor = new StoredQueries();
        script.Accept(visitor);
        return visitor.Found;
    }

    private sealed class StoredQueries : TSqlFragmentVisitor
    {
        public Dictionary<string, string> Found { get; } = [];

        public override void Visit(InsertSpecification node)
        {
            if (node is { Target: NamedTableReference { SchemaObject.BaseIdentifier.Value: "OrleansQuery" }, InsertSource: ValuesInsertSource { RowValues: [{ ColumnValues: [StringLiteral key, StringLiteral text] }] } })
            {
                Found.Add(key.Value, text.Value);
            }
        }
    }

    private sealed class ForbiddenConstructs : TSqlFragmentVisitor
    {
        public List<string> Found { get; } = [];

        public override void Visit(MergeStatement node) => Add(node, "MERGE");

        public override void Visit(CreateOrAlterViewStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(CreateOrAlterProcedureStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(CreateOrAlterFunctionStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(CreateOrAlterTriggerStatement node) => Add(node, "CREATE OR ALTER");

        public override void Visit(AlterTableAlterColumnStatement node)
        {
            if (node.AlterTableAlterColumnOption == AlterTableAlterColumnOption.NotNull)
            {
                Add(node, "ALTER COLUMN ... NOT NULL");
            }
        }

        public override void Visit(TableHint node)
        {
            if (node.HintKind is TableHintKind.HoldLock or TableHintKind.XLock or TableHintKind.Serializable or TableHintKind.UpdLock)
            {
                Add(node, $"the lock hint {node.HintKind}");
            }
        }

        public override void Visit(DataModificationStatement node)
        {
            if (node is (UpdateStatement or DeleteStatement) and { WithCtesAndXmlNamespaces.CommonTableExpressions.Count: > 0 })
            {
                Add(node, "a change through a CTE");
            }
        }

        private void Add(TSqlFragment node, string construct) => Found.Add($"Line {node.StartLine}: {construct}");
    }
}
