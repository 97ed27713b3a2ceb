using System.Data.Common;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Orleans.Serialization;
using Orleans.Storage;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class StorageFaultTests
{
    private readonly FakeTimeProvider clock = new();
    private readonly Lines log = new();
    private readonly Database database = Database.Create(StorageEngine.Sqlite, "Data Source=none.db");
    private readonly StorageFaults faults;

    public StorageFaultTests() => faults = new(database, clock, log);

    public static TheoryData<Exception> Told => [new StorageFaultException("The connection broke.", mayBeWritten: true), StorageFaultException.Refused("No."), new StorageBusyException(), new SiloFencedException()];

    public static TheoryData<Exception> Outages =>
    [
        new ServerException("Refused."),
        new ServerException("Refused.", new SocketException((int)SocketError.Success)),
        new InvalidOperationException("No connection.", new ServerException("Refused.", new IOException("Unknown error 258"))),
        new AggregateException(new ServerException("Refused.")),
    ];

    [Theory]
    [MemberData(nameof(Told))]
    public void A_fault_of_the_storage_is_still_one_on_the_silo_that_asked(Exception fault)
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();

        var arrived = serializer.Deserialize<Exception>(serializer.SerializeToArray(fault))!;

        Assert.Equal(fault.GetType(), arrived.GetType());
        Assert.Equal(fault.Message, arrived.Message);
        Assert.Equal(StorageFaults.IsRefusal(fault), StorageFaults.IsRefusal(arrived));
    }

    [Theory]
    [MemberData(nameof(Outages))]
    public void What_the_database_said_is_told_and_not_what_lies_beneath_it(Exception fault)
    {
        var told = Assert.IsType<StorageFaultException>(faults.OfRead(fault));

        Assert.Equal("The storage failed: ServerException: Refused.", told.Message);
        Assert.Null(told.InnerException);
    }

    [Fact]
    public void A_connection_that_breaks_and_a_wait_that_ends_are_faults_of_the_storage_too() =>
        Assert.All(
            new Exception[] { new IOException("Cut."), new SocketException((int)SocketError.ConnectionReset), new TimeoutException("Late."), new OperationCanceledException("Given up.") },
            fault => Assert.IsType<StorageFaultException>(faults.OfWrite(fault)));

    [Fact]
    public void Only_a_write_may_have_been_done_and_not_when_the_database_refused_it()
    {
        Assert.False(StorageFaults.IsRefusal(faults.OfWrite(new ServerException("Cut."))));
        Assert.True(StorageFaults.IsRefusal(faults.OfWrite(new GroupRefusedException(new ServerException("No.")))));
        Assert.True(StorageFaults.IsRefusal(faults.OfWrite(new GroupRefusedException(new ServerException("Another was faster."), overtaken: true))));
        Assert.True(StorageFaults.IsRefusal(faults.OfRead(new ServerException("Cut."))));
    }

    [Fact]
    public void What_is_no_fault_of_the_storage_is_no_refusal() =>
        Assert.All(new Exception[] { new InconsistentStateException(), new InvalidOperationException(), new TimeoutException() }, fault => Assert.False(StorageFaults.IsRefusal(fault)));

    [Fact]
    public void A_fault_of_the_program_is_told_as_one_with_its_cause_and_is_no_line_about_the_database()
    {
        var bug = new ArgumentException("A bug.");

        var told = faults.OfWrite(bug);
        var refused = faults.OfWrite(new GroupRefusedException(bug));

        Assert.Equal((typeof(InvalidOperationException), bug), (told.GetType(), told.InnerException));
        Assert.Equal((typeof(InvalidOperationException), bug), (refused.GetType(), refused.InnerException));
        Assert.Empty(log.Faults);
    }

    [Fact]
    public void An_outage_is_one_line_in_ten_seconds_with_what_was_thrown()
    {
        var thrown = Enumerable.Range(0, 3).Select(number => new InvalidOperationException($"Attempt {number}.", new ServerException("Refused."))).ToList();

        faults.OfRead(thrown[0]);
        clock.Advance(TimeSpan.FromSeconds(10) - TimeSpan.FromTicks(1));
        faults.OfWrite(thrown[1]);
        clock.Advance(TimeSpan.FromTicks(1));
        faults.OfWrite(new GroupRefusedException(thrown[2]));

        Assert.Equal([thrown[0], thrown[2]], log.Faults);
    }

    [Fact]
    public async Task The_stock_provider_tells_the_faults_of_its_database_as_the_group_commit_does()
    {
        var storage = new StockStorage(new Failing(new InvalidOperationException("No.", new ServerException("Cut."))), database, faults);

        Assert.False((await FaultAsync(storage.ReadStateAsync)).MayBeWritten);
        Assert.True((await FaultAsync(storage.WriteStateAsync)).MayBeWritten);
        Assert.True((await FaultAsync(storage.ClearStateAsync)).MayBeWritten);
        Assert.Single(log.Faults);
    }

    [Fact]
    public async Task What_the_stock_provider_throws_about_versions_or_of_its_own_passes_as_it_is()
    {
        Exception[] thrown = [new InconsistentStateException("Moved on.", "1", "2", new ServerException("Beneath.")), new ArgumentException("A bug.")];

        Assert.Equal(thrown, await Task.WhenAll(thrown.Select(fault => CaughtAsync(new StockStorage(new Failing(fault), database, faults).WriteStateAsync))));
        Assert.Empty(log.Faults);
    }

    private static async Task<StorageFaultException> FaultAsync(Func<string, GrainId, IGrainState<string>, Task> call) =>
        Assert.IsType<StorageFaultException>(await CaughtAsync(call));

    private static Task<Exception> CaughtAsync(Func<string, GrainId, IGrainState<string>, Task> call) =>
        Record.ExceptionAsync(() => call("operation", GrainId.Create("operation", "op/acme/1/"), new GrainState<string>()));

    private sealed class ServerException(string message, Exception? inner = null) : DbException(message, inner);

    private sealed class Failing(Exception fault) : IGrainStorage
    {
        public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) => Task.FromException(fault);

        public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) => Task.FromException(fault);

        public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) => Task.FromException(fault);
    }

    private sealed class Lines : ILogger<StorageFaults>
    {
        public List<Exception?> Faults { get; } = [];

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) => Faults.Add(exception);
    }
}
