using Npgsql;
using Recognize.Orleans.Documents;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Storage.SqlServer;
using Xunit;

namespace Recognize.Orleans.Deployment;

/// <summary>The logins that the compose file makes for the service.</summary>
public sealed class LoginTests
{
    [SkippableFact]
    public async Task The_login_on_postgresql_brings_its_own_database_up_to_date_and_nothing_else()
    {
        await using var server = await TestDatabase.CreateAsync(StorageEngine.PostgreSql, applySchema: false);
        var name = $"recognize_test_{Guid.NewGuid():N}";
        await using var made = new Made(server, name);
        await made.RunAsync(File.ReadAllText(Repository.PathOf("deploy/compose/postgresql-login.sql")));

        await using var database = Database.Create(StorageEngine.PostgreSql, new NpgsqlConnectionStringBuilder(server.ConnectionString) { Database = name, Username = name, Password = name, Pooling = false }.ConnectionString);
        await Schema.ApplyAsync(database, CancellationToken.None);

        Assert.Null(await Schema.CheckAsync(database, CancellationToken.None));
        Assert.Empty(await database.MissingRightsAsync(CancellationToken.None));
        var row = Assert.Single(await server.QueryAsync($"SELECT rolsuper OR rolcreatedb OR rolcreaterole AS IsMore, ARRAY(SELECT datname::text FROM pg_database WHERE datdba = pg_roles.oid) AS Owned FROM pg_roles WHERE rolname = '{name}'"));
        Assert.Equal((object)false, row["IsMore"]);
        Assert.Equal([name], (string[])row["Owned"]!);
    }

    [Fact]
    public void The_login_on_sql_server_is_made_by_statements_that_its_parser_reads()
    {
        var sql = File.ReadAllText(Repository.PathOf("deploy/compose/sqlserver-login.sql"));

        Assert.Empty(TSql.ErrorsIn(sql));
        Assert.Contains("ALTER AUTHORIZATION ON DATABASE::recognize TO recognize;", sql, StringComparison.Ordinal);
        Assert.DoesNotContain("sysadmin", sql, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>A login and its database of a name of their own, gone when disposed.</summary>
    private sealed class Made(TestDatabase server, string name) : IAsyncDisposable
    {
        // What psql reads itself is replaced; the rest goes to the server, statement by statement, because no transaction makes a database.
        public async Task RunAsync(string script)
        {
            var statements = string.Join('\n', script.Split('\n').Where(line => !line.StartsWith("--", StringComparison.Ordinal) && !line.StartsWith('\\')))
                .Replace("recognize", name, StringComparison.Ordinal)
                .Replace(":'password'", $"'{name}'", StringComparison.Ordinal)
                .Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
            foreach (var statement in statements)
            {
                await server.ExecuteAsync(statement);
            }
        }

        public async ValueTask DisposeAsync()
        {
            await server.ExecuteAsync($"DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            await server.ExecuteAsync($"DROP ROLE IF EXISTS {name}");
        }
    }
}
