using Microsoft.Data.SqlClient;
using Npgsql;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class DatabaseTests
{
    [Theory]
    [InlineData("Sqlite", "Data Source=recognize.db")]
    [InlineData("SqlServer", "Server=db;Database=recognize;User Id=sa;Password=s3cret;Encrypt=True")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Username=u;Password=s3cret")]
    public void A_usable_connection_string_has_no_fault(string engine, string connectionString) =>
        Assert.Null(Database.FaultIn(Enum.Parse<StorageEngine>(engine), connectionString));

    [Theory]
    [InlineData("Sqlite", "")]
    [InlineData("Sqlite", "s3cret")]
    [InlineData("Sqlite", "Mode=ReadOnly;Data Source=s3cret.db")]
    [InlineData("Sqlite", "Data Source=:memory:")]
    [InlineData("Sqlite", "Data Source=s3cret;Mode=Memory")]
    [InlineData("Sqlite", "Data Source=file:s3cret.db")]
    [InlineData("Sqlite", "Host=s3cret;Database=recognize")]
    [InlineData("SqlServer", "Data Source=s3cret.db")]
    [InlineData("SqlServer", "Database=recognize;Password=s3cret")]
    [InlineData("SqlServer", "Server=db;Database=recognize;s3cret=1")]
    [InlineData("SqlServer", "Server=db;Database=recognize;Connect Timeout=s3cret")]
    [InlineData("PostgreSql", "Host=db;Password=s3cret")]
    [InlineData("PostgreSql", "Database=recognize;Password=s3cret")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;s3cret=1")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Port=s3cret")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Password=s3cret;Minimum Pool Size=9;Maximum Pool Size=1")]
    public void A_faulty_connection_string_is_explained_without_repeating_it(string engine, string connectionString)
    {
        var fault = Database.FaultIn(Enum.Parse<StorageEngine>(engine), connectionString);

        Assert.EndsWith(".", fault, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", fault, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Host=db;Database=recognize", 50)]
    [InlineData("Host=db;Database=recognize;Max Auto Prepare=0", 0)]
    [InlineData("Host=db;Database=recognize;MaxAutoPrepare=7", 7)]
    public async Task PostgreSql_statements_are_prepared_unless_the_connection_string_says_otherwise(string connectionString, int expected)
    {
        await using var database = Database.Create(StorageEngine.PostgreSql, connectionString);

        Assert.Equal(expected, new NpgsqlConnectionStringBuilder(database.DataSource.ConnectionString).MaxAutoPrepare);
    }

    // The driver refuses to run at all in a process with invariant globalization.
    [Fact]
    public async Task The_SQL_Server_driver_gets_as_far_as_the_network()
    {
        await using var database = Database.Create(StorageEngine.SqlServer, "Server=127.0.0.1,1;Database=recognize;User Id=sa;Password=x;Connect Timeout=1;Connect Retry Count=0;Pooling=False");

        await Assert.ThrowsAsync<SqlException>(() => database.ReadClockAsync(CancellationToken.None));
    }
}
