using Microsoft.SqlServer.TransactSql.ScriptDom;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage.SqlServer;

public sealed class SqlServerScriptTests
{
    public static TheoryData<string> Scripts => [.. Schema.Scripts(StorageEngine.SqlServer).Select(script => script.Script.Name)];

    public static IEnumerable<object[]> Queries =>
        from script in Schema.Scripts(StorageEngine.SqlServer)
        from query in TSql.QueriesIn(TSql.Parse(script.Script.Contents))
        select new object[] { script.Script.Name, query.Key };

    [Theory]
    [MemberData(nameof(Scripts))]
    public void Every_script_parses(string script) => Assert.Empty(TSql.ErrorsIn(TextOf(script)));

    [Theory]
    [MemberData(nameof(Scripts))]
    public void No_script_uses_what_some_servers_lack(string script) => Assert.Empty(TSql.ForbiddenIn(TextOf(script)));

    [Theory]
    [MemberData(nameof(Scripts))]
    public void Every_column_that_a_script_names_is_there(string script) => Assert.Empty(TSql.UnknownColumnsIn(TextOf(script)));

    [Theory]
    [MemberData(nameof(Queries))]
    public void Every_query_that_a_script_stores_parses(string script, string key) => Assert.Empty(TSql.ErrorsIn(QueryOf(script, key)));

    [Theory]
    [MemberData(nameof(Queries))]
    public void No_query_that_a_script_stores_uses_what_some_servers_lack(string script, string key) => Assert.Empty(TSql.ForbiddenIn(QueryOf(script, key)));

    [Theory]
    [MemberData(nameof(Queries))]
    public void Every_column_that_a_stored_query_names_is_there(string script, string key) => Assert.Empty(TSql.UnknownColumnsIn(QueryOf(script, key)));

    [Theory]
    [MemberData(nameof(Queries))]
    public void No_stored_query_waits_for_a_lock_for_long(string script, string key) => Assert.Contains("SET LOCK_TIMEOUT 2000;", QueryOf(script, key), StringComparison.Ordinal);

    [Fact]
    public void The_first_script_stores_every_query_that_the_providers_ask_for()
    {
        string[] expected =
        [
            "CleanupDefunctSiloEntriesKey", "CleanupDefunctSiloEntryKey", "ClearStorageKey", "DeleteMembershipTableEntriesKey", "DeleteStorageKey", "GatewaysQueryKey",
            "InsertMembershipKey", "InsertMembershipVersionKey", "MembershipReadAllKey", "MembershipReadRowKey", "ReadFromStorageKey",
            "UpdateIAmAlivetimeKey", "UpdateMembershipKey", "WriteToStorageKey",
        ];

        Assert.Equal(expected, TSql.QueriesIn(TSql.Parse(Schema.Scripts(StorageEngine.SqlServer)[0].Script.Contents)).Keys.Order(StringComparer.Ordinal));
    }

    // A client that goes on after an error begins with the next batch.
    [Fact]
    public void The_first_script_does_nothing_but_create_the_view_outside_the_batch_that_ends_when_there_is_a_schema()
    {
        var batches = ((TSqlScript)TSql.Parse(Schema.Scripts(StorageEngine.SqlServer)[0].Script.Contents)).Batches;

        Assert.IsType<ThrowStatement>(Assert.IsType<IfStatement>(batches[0].Statements[2]).ThenStatement);
        Assert.Equal(
            [typeof(CreateViewStatement), typeof(CommitTransactionStatement)],
            batches.Skip(1).SelectMany(batch => batch.Statements).Select(statement => statement.GetType()));
    }

    [Theory]
    [InlineData("MERGE T AS t USING S AS s ON t.Id = s.Id WHEN MATCHED THEN DELETE;")]
    [InlineData("CREATE OR ALTER VIEW V AS SELECT 1 AS One")]
    [InlineData("CREATE OR ALTER PROCEDURE P AS SELECT 1 AS One")]
    [InlineData("SELECT 1 FROM T WITH (HOLDLOCK)")]
    [InlineData("SELECT 1 FROM T WITH (UPDLOCK)")]
    [InlineData("SELECT 1 FROM T WITH (SERIALIZABLE)")]
    [InlineData("UPDATE T WITH (ROWLOCK, XLOCK) SET Id = 1")]
    [InlineData("ALTER TABLE T ALTER COLUMN Id INT NOT NULL")]
    [InlineData("WITH Old AS (SELECT Id FROM T) DELETE FROM Old")]
    [InlineData("WITH Old AS (SELECT Id FROM T) UPDATE Old SET Id = 1")]
    [InlineData("SELECT Id FROM OPENJSON(@items) WITH (Id INT '$.i') AS item")]
    [InlineData("CREATE TYPE Items AS TABLE (Id INT NOT NULL)")]
    [InlineData("UPDATE T WITH (FORCESEEK) SET Id = 1")]
    [InlineData("DELETE t FROM S AS s INNER LOOP JOIN T AS t WITH (FORCESEEK) ON t.Id = s.Id")]
    public void The_forbidden_is_recognized(string sql) => Assert.Single(TSql.ForbiddenIn(sql));

    [Theory]
    [InlineData("SELECT t.Id FROM T AS t WITH (FORCESEEK) WHERE t.Id = 1")]
    [InlineData("CREATE VIEW V AS SELECT item.Id FROM OPENJSON('[]') WITH (Id INT '$.i') AS item")]
    [InlineData("UPDATE T SET Id = 1")]
    public void What_every_server_knows_is_not_forbidden(string sql) => Assert.Empty(TSql.ForbiddenIn(sql));

    [Theory]
    [InlineData("DECLARE @rows TABLE (Item INT, Outcome INT); UPDATE r SET Outcome = 2 FROM @rows AS r WHERE r.Fate = 1")]
    [InlineData("DECLARE @rows TABLE (Item INT, Outcome INT); SELECT Fate FROM @rows")]
    [InlineData("DECLARE @rows TABLE (Item INT, Outcome INT); UPDATE @rows SET Fate = 1")]
    [InlineData("SELECT given.Fate FROM (VALUES (1, 2)) AS given (Item, Outcome)")]
    [InlineData("SELECT s.Fate FROM OrleansStorage AS s")]
    [InlineData("SELECT r.Version FROM OrleansStorage AS s")]
    public void A_column_that_is_not_there_is_recognized(string sql) => Assert.Single(TSql.UnknownColumnsIn(sql));

    private static string TextOf(string name) =>
        Schema.Scripts(StorageEngine.SqlServer).Single(script => script.Script.Name == name).Script.Contents;

    private static string QueryOf(string script, string key) => TSql.QueriesIn(TSql.Parse(TextOf(script)))[key];
}
