using Microsoft.Extensions.Logging.Abstractions;
using Orleans.Storage;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Recognize.Orleans.State;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Benchmarks.Servers;

/// <summary>
/// The baseline's HTTP over the service's own group commit, rows and rules, with no grain in between: what it is faster by
/// than the service is what the actors cost. It keeps no user's list and, like the baseline, looks at no key.
/// </summary>
internal static class FloorServer
{
    public static async Task RunAsync(string engine)
    {
        var builder = BaselineServer.CreateBuilder();
        await using var database = Database.Create(Enum.Parse<StorageEngine>(engine, ignoreCase: true), builder.Configuration.GetConnectionString("Baseline")!);
        await Schema.ApplyAsync(database, CancellationToken.None);
        var (limits, faults) = (new GroupCommitLimits(), new StorageFaults(database, TimeProvider.System, NullLogger<StorageFaults>.Instance));

        // It is no silo, so that no membership is asked for.
        var rows = database.CreateRowStore(ServiceRow.ServiceId, silo: null, TimeProvider.System);
        using var reader = new RowReader(rows, faults, limits);
        using var storage = new GroupCommitStorage(rows, reader, new StateSerializer(StateJson.Default), faults, limits, WriteGuard.None);
        reader.Start();
        storage.Start();
        await BaselineServer.ServeAsync(builder, new FloorStore(storage));
        await storage.StopAsync(CancellationToken.None);
        await reader.StopAsync(CancellationToken.None);
    }
}

internal sealed class FloorStore(GroupCommitStorage storage) : IBaselineStore
{
    private long numbers;

    public async ValueTask<bool> TryInsertAsync(string userId, CreateView operation, DateTime createdAt)
    {
        var request = new CreateOperation
        {
            OperationId = operation.OperationId,
            ExternalUserId = operation.ExternalUserId,
            Payload = operation.OperationPayload,
            Attempt = Guid.NewGuid().ToString("N"),
        };
        var state = OperationState.Create(new(ServiceRow.Customer, userId), request, Interlocked.Increment(ref numbers), "floor", createdAt);
        try
        {
            await storage.WriteStateAsync(OperationState.Name, ServiceRow.GrainOf(operation.OperationId), new GrainState<OperationState>(state));
            return true;
        }
        catch (InconsistentStateException)
        {
            return false;
        }
    }

    public async ValueTask<OperationView?> FindAsync(string operationId)
    {
        var row = await ReadAsync(operationId);
        return row is { RecordExists: true, State: { } state } ? View(state) : null;
    }

    public async ValueTask<bool> TryDecideAsync(string operationId, bool approves)
    {
        var row = await ReadAsync(operationId);
        if (row is not { RecordExists: true, State: { Status: OperationStatus.Pending } state })
        {
            return false;
        }

        (_, row.State) = state.Decide(new() { UserId = state.UserId, Verdict = approves ? Verdict.Approve : Verdict.Deny, AuthType = AuthType.Biom }, DateTimeOffset.UtcNow);
        await storage.WriteStateAsync(OperationState.Name, ServiceRow.GrainOf(operationId), row);
        return true;
    }

    public ValueTask<List<PendingView>> ListPendingAsync(string userId) => throw new NotSupportedException("The floor keeps no lists.");

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async ValueTask<GrainState<OperationState>> ReadAsync(string operationId)
    {
        var row = new GrainState<OperationState>();
        await storage.ReadStateAsync(OperationState.Name, ServiceRow.GrainOf(operationId), row);
        return row;
    }

    private static OperationView View(OperationState state) => new()
    {
        Id = state.Id,
        Timestamp = OperationView.Time(state.CreatedAt.UtcDateTime),
        NodeId = state.NodeId,
        UserId = state.UserId,
        OperationId = state.OperationId,
        State = state.Status is OperationStatus.Approved ? "approved" : "pending",
        Result = state.Status is OperationStatus.Approved,
        ExternalUserId = state.ExternalUserId,
        OperationPayload = state.Payload,
        Status = state.Status switch { OperationStatus.Approved => "approved", OperationStatus.Denied => "denied", _ => "pending" },
    };
}
