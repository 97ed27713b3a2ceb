using System.Data.Common;
using System.Net.Sockets;
using Orleans.Storage;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>
/// Turns a fault of the database into an exception for callers. The fault is logged here, once, with its type and
/// stack. Callers get one of the exceptions below, which any silo can read. A program error is not turned into a fault.
/// </summary>
internal sealed partial class StorageFaults(Database database, TimeProvider clock, ILogger<StorageFaults> logger)
{
    // An outage fails every group.
    private readonly Throttle lines = new(clock, TimeSpan.FromSeconds(10));
    private Exception? lastOfSession;

    public Exception OfRead(Exception fault) => Of(fault, mayBeWritten: false);

    /// <param name="fault">The exception. Unless it says that nothing was written, the write may have happened.</param>
    public Exception OfWrite(Exception fault) => Of(fault, mayBeWritten: fault is not (GroupRefusedException or UnavailableException));

    /// <summary>Whether an exception of a storage says that nothing was written, and never will be.</summary>
    public static bool IsRefusal(Exception fault) => fault is StorageBusyException or SiloFencedException or StorageFaultException { MayBeWritten: false };

    /// <summary>Whether a retry on another session may succeed, if one can be opened.</summary>
    public bool IsOfSession(Exception fault) => fault is not UnavailableException && CauseOf(fault) is { } cause && database.Classify(cause) is FaultScope.Session;

    private Exception Of(Exception fault, bool mayBeWritten)
    {
        if (fault is GroupRefusedException or UnavailableException && fault.InnerException is { } cause)
        {
            fault = cause;
        }

        if (CauseOf(fault) is not { } outage)
        {
            return new InvalidOperationException("The storage met a fault of the program.", fault);
        }

        var whose = database.Classify(outage);
        if (whose is FaultScope.Session && Interlocked.Exchange(ref lastOfSession, outage) != outage)
        {
            // Once per exception, because all items of a group share it.
            database.DropSessions();
        }

        if (lines.IsDue())
        {
            Log.Failed(logger, fault);
        }

        return new StorageFaultException($"{outage.GetType().Name}: {outage.Message}", mayBeWritten, isOfNode: whose is FaultScope.Node);
    }

    // The driver's own exception is used. The one beneath it often says only "Success" or a number.
    private static Exception? CauseOf(Exception? fault) => fault switch
    {
        null => null,
        DbException or IOException or SocketException or TimeoutException or OperationCanceledException => fault,
        _ => CauseOf(fault.InnerException),
    };

    private static partial class Log
    {
        [LoggerMessage(66, LogLevel.Warning, "The database did not do what it was asked (said at most every ten seconds).")]
        public static partial void Failed(ILogger logger, Exception fault);
    }
}

/// <summary>Orleans' own storage, with faults of its database reported like those of the group commit.</summary>
internal sealed class StockStorage(IGrainStorage stock, Database database, StorageFaults faults) : IGrainStorage, ILifecycleParticipant<ISiloLifecycle>
{
    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ToldAsync("read", () => stock.ReadStateAsync(stateName, grainId, grainState), faults.OfRead);

    public Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ToldAsync("write", () => stock.WriteStateAsync(stateName, grainId, grainState), faults.OfWrite);

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState) =>
        ToldAsync("write", () => stock.ClearStateAsync(stateName, grainId, grainState), faults.OfWrite);

    public void Participate(ISiloLifecycle observer) => ((ILifecycleParticipant<ISiloLifecycle>)stock).Participate(observer);

    private async Task ToldAsync(string name, Func<Task> work, Func<Exception, Exception> told)
    {
        using var span = Tracing.StartStatement(name, database.Engine);
        try
        {
            await work();
            database.ThrowIfLost();
        }
        catch (Exception fault) when (fault is not InconsistentStateException && told(fault) is StorageFaultException outage)
        {
            span.Fail(fault);
            throw outage;
        }
    }
}

/// <summary>The database did not accept or answer a group.</summary>
/// <param name="message">What the database reported.</param>
/// <param name="mayBeWritten">Whether a write may have happened, or may still happen.</param>
/// <param name="isOfNode">Whether the cause is the node that met it: its rights, its schema or its file.</param>
[GenerateSerializer, Alias("recognize.storage-fault")]
internal sealed class StorageFaultException(string message, bool mayBeWritten, bool isOfNode = false) : OrleansException($"The storage failed: {message}")
{
    [Id(0)]
    public bool MayBeWritten { get; private set; } = mayBeWritten;

    [Id(1)]
    public bool IsOfNode { get; private set; } = isOfNode;

    public static StorageFaultException Refused(string message) => new(message, mayBeWritten: false);
}

/// <summary>The storage has as much work as it can hold, or is stopping. Nothing was written.</summary>
[GenerateSerializer, Alias("recognize.storage-busy")]
internal sealed class StorageBusyException() : OrleansException("The storage takes no more work at the moment.");

/// <summary>
/// The database accepts nothing more from this silo, which the others have declared dead. Nothing was written; another
/// silo can do it.
/// </summary>
[GenerateSerializer, Alias("recognize.silo-fenced")]
internal sealed class SiloFencedException() : OrleansException("The silo is not one of its cluster any more.");
