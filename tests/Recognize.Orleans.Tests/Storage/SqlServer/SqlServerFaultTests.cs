using Microsoft.Data.SqlClient;
using Microsoft.Extensions.Logging.Abstractions;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage.SqlServer;

// The driver is the real one, and what it makes of a server's answers is what counts; the server only says numbers.
public sealed class SqlServerFaultTests : IAsyncLifetime
{
    private readonly TdsServer server = TdsServer.Start();
    private Database? opened;

    private Database Database => opened ??= Database.Create(StorageEngine.SqlServer, server.ConnectionString);

    public Task InitializeAsync() => Task.CompletedTask;

    public async Task DisposeAsync()
    {
        await (opened?.DisposeAsync() ?? ValueTask.CompletedTask);
        await server.DisposeAsync();
    }

    [Theory]
    [InlineData(1_222, 16, false)]
    [InlineData(547, 16, false)]
    [InlineData(50_002, 16, false)]
    [InlineData(50_001, 16, true)]
    [InlineData(2_601, 14, true)]
    [InlineData(2_627, 14, true)]
    [InlineData(1_205, 13, true)]
    public async Task What_takes_the_batch_back_refuses_the_group_for_certain(int number, byte severity, bool overtaken)
    {
        server.Answers = [new(number, severity), new(3_621, 0, "The statement has been terminated.")];

        var refusal = await Assert.ThrowsAsync<GroupRefusedException>(WriteAsync);

        Assert.Equal(overtaken, refusal.IsOvertaken);
        Assert.Equal(number, Assert.IsType<SqlException>(refusal.InnerException).Number);
        await Assert.ThrowsAsync<GroupRefusedException>(ReadAsync);
    }

    [Theory]
    [InlineData(40_197, 16)]
    [InlineData(40_501, 16)]
    [InlineData(49_918, 16)]
    [InlineData(1_105, 17)]
    [InlineData(3_903, 20)]
    public async Task After_any_other_error_the_group_may_be_written(int number, byte severity)
    {
        server.Answers = [new(number, severity)];

        Assert.Equal(number, (await Assert.ThrowsAsync<SqlException>(WriteAsync)).Number);
        await Assert.ThrowsAsync<SqlException>(ReadAsync);
    }

    [Theory]
    [InlineData(229, 14, FaultScope.Node)]
    [InlineData(4_060, 11, FaultScope.Session)]
    [InlineData(208, 16, FaultScope.Node)]
    [InlineData(3_906, 16, FaultScope.Session)]
    [InlineData(976, 14, FaultScope.Session)]
    [InlineData(596, 21, FaultScope.Session)]
    [InlineData(40_197, 17, FaultScope.Database)]
    [InlineData(1_222, 16, FaultScope.Statement)]
    internal async Task A_number_says_whose_fault_it_is(int number, byte severity, FaultScope whose)
    {
        server.Answers = [new(number, severity)];

        var fault = await Record.ExceptionAsync(WriteAsync);

        Assert.Equal(whose, Database.Classify(fault as SqlException ?? fault.InnerException!));
    }

    [Theory]
    [InlineData(208, 16)]
    [InlineData(229, 14)]
    [InlineData(3_906, 16)]
    public async Task What_every_other_batch_would_meet_too_is_not_tried_item_by_item(int number, byte severity)
    {
        server.Answers = [new(number, severity)];

        Assert.Equal(number, Assert.IsType<SqlException>((await Assert.ThrowsAsync<UnavailableException>(WriteAsync)).InnerException).Number);
    }

    [Fact]
    public async Task A_session_in_which_a_batch_failed_is_not_used_again()
    {
        await using var rows = Database.CreateRowStore("recognize", silo: null, TimeProvider.System);
        Task WriteAsync() => rows.WriteAsync([SqlServerStatements.WriteOf(1)], DateTime.MaxValue, CancellationToken.None);
        await WriteAsync();
        await WriteAsync();
        Assert.Equal(1, server.Logins);

        server.Answers = [new(1_222, 16)];
        await Assert.ThrowsAsync<GroupRefusedException>(WriteAsync);
        server.Answers = [];

        await WriteAsync();
        Assert.Equal(2, server.Logins);
    }

    [Fact]
    public async Task That_a_login_fails_while_the_database_is_away_is_not_the_nodes_fault()
    {
        server.Answers = [new(4_060, 11), new(18_456, 14)];

        Assert.Equal(FaultScope.Session, Database.Classify(await Assert.ThrowsAsync<SqlException>(WriteAsync)));
    }

    [Fact]
    public async Task A_refusal_that_comes_with_another_error_is_none()
    {
        server.Answers = [new(1_222, 16), new(40_197, 16)];

        await Assert.ThrowsAsync<SqlException>(WriteAsync);
    }

    [Theory]
    [InlineData(4_060, 11)]
    [InlineData(18_456, 14)]
    [InlineData(40_197, 17)]
    [InlineData(40_501, 20)]
    [InlineData(40_613, 17)]
    [InlineData(49_918, 16)]
    [InlineData(10_928, 16)]
    [InlineData(10_929, 16)]
    public async Task A_login_that_is_refused_is_an_outage(int number, byte severity)
    {
        server.RefusesLoginsWith = new(number, severity);

        var fault = (await Assert.ThrowsAsync<UnavailableException>(WriteAsync)).InnerException;

        Assert.Equal(number, Assert.IsType<SqlException>(fault).Number);
        Assert.Equal(503, ExceptionAnswers.StatusOf(fault));
        Assert.IsType<StorageFaultException>(Told(fault));
    }

    [Fact]
    public async Task A_pool_without_a_free_connection_is_an_outage()
    {
        await using var database = Database.Create(StorageEngine.SqlServer, $"{server.ConnectionString};Max Pool Size=1;Connect Timeout=1");
        await using var only = await database.DataSource.OpenConnectionAsync();

        var fault = await Record.ExceptionAsync(() => database.ReadClockAsync(CancellationToken.None));

        Assert.IsType<TimeoutException>(fault);
        Assert.Equal(503, ExceptionAnswers.StatusOf(fault));
        Assert.IsType<StorageFaultException>(Told(fault));
        Assert.IsType<TimeoutException>(Record.Exception(() => database.DataSource.OpenConnection()));
    }

    [Fact]
    public async Task A_server_that_is_back_is_seen_by_the_next_call()
    {
        server.RefusesLoginsWith = new(4_060, 11);
        await Assert.ThrowsAsync<SqlException>(() => Database.ReadClockAsync(CancellationToken.None));
        await Assert.ThrowsAsync<SqlException>(() => Database.ReadClockAsync(CancellationToken.None));
        await Assert.ThrowsAsync<UnavailableException>(WriteAsync);
        Assert.Equal(3, server.Logins);

        server.RefusesLoginsWith = null;

        await Database.MissingRightsAsync(CancellationToken.None);
        await WriteAsync();
        Assert.Equal(5, server.Logins);
    }

    // What the driver does by itself: it remembers the fault, and asks nobody.
    [Fact]
    public async Task A_connection_string_may_ask_the_driver_to_remember_an_outage()
    {
        await using var database = Database.Create(StorageEngine.SqlServer, $"{server.ConnectionString};Pool Blocking Period=AlwaysBlock");
        server.RefusesLoginsWith = new(4_060, 11);

        await Assert.ThrowsAsync<SqlException>(() => database.ReadClockAsync(CancellationToken.None));
        await Assert.ThrowsAsync<SqlException>(() => database.ReadClockAsync(CancellationToken.None));

        Assert.Equal(1, server.Logins);
    }

    [Theory]
    [InlineData("", PoolBlockingPeriod.NeverBlock, 1)]
    [InlineData(";PoolBlockingPeriod=AlwaysBlock;ConnectRetryInterval=5", PoolBlockingPeriod.AlwaysBlock, 5)]
    [InlineData(";Pool Blocking Period=Auto;Connect Retry Interval=10", PoolBlockingPeriod.Auto, 10)]
    public async Task The_connection_string_has_the_last_word_on_pauses(string settings, PoolBlockingPeriod blocking, int retryInterval)
    {
        await using var database = Database.Create(StorageEngine.SqlServer, server.ConnectionString + settings);

        var used = new SqlConnectionStringBuilder(database.DataSource.ConnectionString);

        Assert.Equal((blocking, retryInterval), (used.PoolBlockingPeriod, used.ConnectRetryInterval));
    }

    [Fact]
    public async Task All_that_is_wrong_with_a_database_is_told_at_once()
    {
        server.Finds =
        [
            [["READ_ONLY", "15.0.4430.1", 3, 120]],
            [["OrleansStorage", "GrainTypeString", "Latin1_General_100_BIN2"], ["OrleansStorage", "OwnerKey", "SQL_Latin1_General_CP1_CI_AS"], ["RecognizeCluster", "ClusterId", null]],
        ];
        var faults = new List<string>();

        await Database.AddServerErrorsAsync(faults, CancellationToken.None);

        Assert.Collection(
            faults,
            fault => Assert.StartsWith("The database is read-only", fault, StringComparison.Ordinal),
            fault => Assert.StartsWith("The database has compatibility level 120", fault, StringComparison.Ordinal),
            fault => Assert.StartsWith("The column OwnerKey of OrleansStorage has the collation SQL_Latin1_General_CP1_CI_AS", fault, StringComparison.Ordinal),
            fault => Assert.StartsWith("The column ClusterId of RecognizeCluster", fault, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_database_without_the_tables_yet_has_no_columns_to_look_at()
    {
        server.Finds = [[["READ_WRITE", "15.0.4430.1", 3, 150]]];
        var faults = new List<string>();

        await Database.AddServerErrorsAsync(faults, CancellationToken.None);

        Assert.Empty(faults);
    }

    [Fact]
    public async Task Each_item_of_a_group_is_told_its_own_outcome()
    {
        server.Finds = [[[0, 1], [1, 2], [2, 3], [3, 4]]];
        WriteItem[] group = [.. Enumerable.Range(0, 4).Select(SqlServerStatements.WriteOf)];
        await using var rows = Database.CreateRowStore("recognize", silo: null, TimeProvider.System);

        await rows.WriteAsync(group, DateTime.MaxValue, CancellationToken.None);

        Assert.Equal([WriteOutcome.Written, WriteOutcome.Conflicts, WriteOutcome.TooLate, WriteOutcome.Fenced], group.Select(item => item.Outcome));
    }

    [Fact]
    public async Task Idle_connections_are_closed_with_the_database()
    {
        await Database.MissingRightsAsync(CancellationToken.None);
        await Database.DisposeAsync();
        opened = null;

        await Database.MissingRightsAsync(CancellationToken.None);

        Assert.Equal(2, server.Logins);
    }

    private Exception Told(Exception fault) => new StorageFaults(Database, TimeProvider.System, NullLogger<StorageFaults>.Instance).OfRead(fault);

    private async Task WriteAsync()
    {
        await using var rows = Database.CreateRowStore("recognize", silo: null, TimeProvider.System);
        await rows.WriteAsync([SqlServerStatements.WriteOf(1)], DateTime.MaxValue, CancellationToken.None);
    }

    private async Task ReadAsync()
    {
        await using var rows = Database.CreateRowStore("recognize", silo: null, TimeProvider.System);
        await rows.ReadAsync([new(SqlServerStatements.RowOf(1), () => null)], CancellationToken.None);
    }
}
