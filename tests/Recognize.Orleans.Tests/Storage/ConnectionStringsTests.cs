using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class ConnectionStringsTests
{
    [Theory]
    [InlineData("Sqlite", "Data Source=recognize.db")]
    [InlineData("SqlServer", "Server=db;Database=recognize;User Id=sa;Password=s3cret;Encrypt=True")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Username=u;Password=s3cret")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Maximum Pool Size=3")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Pooling=false;Maximum Pool Size=2")]
    public void A_usable_connection_string_has_no_error(string engine, string connectionString) =>
        Assert.Null(ConnectionStrings.ErrorIn(Enum.Parse<StorageEngine>(engine), connectionString));

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
    [InlineData("SqlServer", "Server=db;Database=recognize;Password=s3cret;Max Pool Size=2")]
    [InlineData("PostgreSql", "Host=db;Password=s3cret")]
    [InlineData("PostgreSql", "Database=recognize;Password=s3cret")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;s3cret=1")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Port=s3cret")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Password=s3cret;Multiplexing=true")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Password=s3cret;Maximum Pool Size=2")]
    [InlineData("PostgreSql", "Host=db;Database=recognize;Password=s3cret;Minimum Pool Size=9;Maximum Pool Size=1")]
    public void A_wrong_connection_string_is_explained_without_repeating_it(string engine, string connectionString)
    {
        var error = ConnectionStrings.ErrorIn(Enum.Parse<StorageEngine>(engine), connectionString);

        Assert.EndsWith(".", error, StringComparison.Ordinal);
        Assert.DoesNotContain("s3cret", error, StringComparison.Ordinal);
    }
}
