using Microsoft.Data.SqlClient;
using Microsoft.Data.Sqlite;
using Npgsql;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage.SqlServer;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class DatabaseTests
{
    public static TheoryData<string> Engines => [.. Enum.GetNames<StorageEngine>()];

    [Theory]
    [MemberData(nameof(Engines))]
    public void Every_engine_has_a_schema_and_a_check_of_its_connection_string(string engine)
    {
        Assert.NotEmpty(Schema.Scripts(Enum.Parse<StorageEngine>(engine)));
        Assert.NotNull(ConnectionStrings.ErrorIn(Enum.Parse<StorageEngine>(engine), "Nothing=known"));
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

    [Theory]
    [InlineData("Host=db;Database=recognize", 5, 10, 10, 1)]
    [InlineData("Host=db;Database=recognize;Timeout=15;Command Timeout=30;Keepalive=0;Host Recheck Seconds=10", 15, 30, 0, 10)]
    public async Task A_server_that_does_not_answer_is_noticed_before_orleans_gives_up_a_call(string connectionString, int open, int command, int keepalive, int recheck)
    {
        await using var database = Database.Create(StorageEngine.PostgreSql, connectionString);

        var settings = new NpgsqlConnectionStringBuilder(database.DataSource.ConnectionString);
        Assert.Equal((open, command, keepalive, recheck), (settings.Timeout, settings.CommandTimeout, settings.KeepAlive, settings.HostRecheckSeconds));
    }

    [Theory]
    [InlineData("40P01", FaultScope.Statement)]
    [InlineData("40001", FaultScope.Statement)]
    [InlineData("55P03", FaultScope.Statement)]
    [InlineData("57014", FaultScope.Statement)]
    [InlineData("23505", FaultScope.Statement)]
    [InlineData("22021", FaultScope.Statement)]
    [InlineData("25006", FaultScope.Session)]
    [InlineData("26000", FaultScope.Session)]
    [InlineData("42P05", FaultScope.Session)]
    [InlineData("0A000", FaultScope.Session)]
    [InlineData("08P01", FaultScope.Session)]
    [InlineData("57P01", FaultScope.Session)]
    [InlineData("53100", FaultScope.Database)]
    [InlineData("53300", FaultScope.Database)]
    [InlineData("XX000", FaultScope.Statement)]
    [InlineData("54000", FaultScope.Statement)]
    [InlineData("42501", FaultScope.Node)]
    [InlineData("42P01", FaultScope.Node)]
    [InlineData("28P01", FaultScope.Node)]
    internal async Task PostgreSql_says_whose_fault_it_is(string state, FaultScope whose)
    {
        await using var database = Database.Create(StorageEngine.PostgreSql, "Host=db;Database=recognize");

        Assert.Equal(whose, database.Classify(new PostgresException("No.", "ERROR", "ERROR", state)));
    }

    [Theory]
    [InlineData(5, FaultScope.Database)]
    [InlineData(6, FaultScope.Database)]
    [InlineData(19, FaultScope.Statement)]
    [InlineData(1, FaultScope.Node)]
    [InlineData(8, FaultScope.Node)]
    [InlineData(10, FaultScope.Node)]
    [InlineData(11, FaultScope.Node)]
    [InlineData(13, FaultScope.Node)]
    [InlineData(14, FaultScope.Node)]
    internal async Task What_SQLite_cannot_do_with_its_file_is_the_nodes_fault(int code, FaultScope whose)
    {
        await using var database = Database.Create(StorageEngine.Sqlite, "Data Source=none.db");

        Assert.Equal(whose, database.Classify(new SqliteException("No.", code)));
    }

    [Fact]
    public async Task A_connection_that_broke_takes_the_others_with_it_and_a_time_out_does_not()
    {
        await using var database = Database.Create(StorageEngine.PostgreSql, "Host=db;Database=recognize");

        Assert.Equal(FaultScope.Session, database.Classify(new NpgsqlException("Broken.", new IOException("Cut."))));
        Assert.Equal(FaultScope.Database, database.Classify(new NpgsqlException("Late.", new TimeoutException())));
    }

    [Theory]
    [InlineData("READ_ONLY", "16.0.4135.4", 3, 160, "ALTER DATABASE CURRENT SET READ_WRITE")]
    [InlineData("READ_WRITE", "16.0.4135.4", 3, 120, "SET COMPATIBILITY_LEVEL = 130")]
    [InlineData("READ_WRITE", "12.0.2000.8", 5, 120, "SET COMPATIBILITY_LEVEL = 130")]
    public void A_database_on_SQL_Server_that_does_not_fit_is_refused_with_what_to_do(string updateability, string version, int edition, int level, string remedy)
    {
        var faults = new List<string>();

        SqlServerDatabase.AddFaultsOfDatabase(faults, updateability, version, edition, level);

        Assert.Contains(remedy, Assert.Single(faults), StringComparison.Ordinal);
    }

    // The third is no SQL Server but speaks like an old one; the last one tells nothing.
    [Theory]
    [InlineData("READ_WRITE", "13.0.5026.0", 2, 130)]
    [InlineData("READ_WRITE", "12.0.2000.8", 5, 160)]
    [InlineData("READ_WRITE", "12.0.2000.8", 2, 120)]
    [InlineData(null, null, null, null)]
    public void A_database_on_SQL_Server_that_fits_is_not_refused(string? updateability, string? version, int? edition, int? level)
    {
        var faults = new List<string>();

        SqlServerDatabase.AddFaultsOfDatabase(faults, updateability, version, edition, level);

        Assert.Empty(faults);
    }

    [Theory]
    [InlineData("Latin1_General_100_BIN2", true)]
    [InlineData("bbf_unicode_bin2", true)]
    [InlineData("SQL_Latin1_General_CP1_CI_AS", false)]
    [InlineData(null, false)]
    public void A_key_column_compares_bytes(string? collation, bool fits)
    {
        var faults = new List<string>();

        SqlServerDatabase.AddFaultsOfColumn(faults, "OrleansStorage", "OwnerKey", collation);

        Assert.Equal(fits, faults.Count == 0);
        Assert.All(faults, fault => Assert.Contains("OwnerKey", fault, StringComparison.Ordinal));
    }

    // The driver refuses to run at all in a process with invariant globalization.
    [Fact]
    public async Task The_SQL_Server_driver_gets_as_far_as_the_network()
    {
        await using var database = Database.Create(StorageEngine.SqlServer, "Server=127.0.0.1,1;Database=recognize;User Id=sa;Password=x;Connect Timeout=1;Connect Retry Count=0;Pooling=False");

        await Assert.ThrowsAsync<SqlException>(() => database.ReadClockAsync(CancellationToken.None));
    }
}
