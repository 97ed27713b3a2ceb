using System.Text.Json;
using System.Text.Json.Serialization;
using Recognize.Orleans.State;

namespace Recognize.Orleans.Operations;

/// <summary>
/// Hands out the numbers that the API shows as <c>id</c>. Each silo leases blocks of one durable counter, so that no
/// number is ever given twice and an operation needs no call to another silo. A restart leaves a gap.
/// </summary>
internal sealed class OperationNumbers(IGrainFactory grains)
{
    private readonly Lock gate = new();
    private NumberBlock block;
    private Task? leasing;

    public async ValueTask<long> NextAsync()
    {
        while (true)
        {
            Task lease;
            lock (gate)
            {
                if (block.Next < block.End)
                {
                    var number = block.Next;
                    block = block with { Next = number + 1 };
                    return number;
                }

                // Not in the caller's turn: a lease must outlive the grain that happens to need it first.
                lease = leasing ??= Task.Run(LeaseAsync);
            }

            await lease;
        }
    }

    private async Task LeaseAsync()
    {
        try
        {
            var leased = await grains.GetGrain<INumbersGrain>("numbers/operations/").LeaseAsync();
            lock (gate)
            {
                block = leased;
            }
        }
        finally
        {
            lock (gate)
            {
                leasing = null;
            }
        }
    }
}

/// <summary>The durable counter behind <see cref="OperationNumbers"/>; one for the whole service.</summary>
[GrainInterfaceType("recognize.numbers")]
internal interface INumbersGrain : IGrainWithStringKey
{
    /// <summary>A block of numbers that no other caller has or will get.</summary>
    [Alias("lease")]
    Task<NumberBlock> LeaseAsync();
}

/// <summary>The numbers from <paramref name="Next"/> up to, not including, <paramref name="End"/>.</summary>
[GenerateSerializer, Immutable, Alias("recognize.number-block")]
internal readonly record struct NumberBlock([property: Id(0)] long Next, [property: Id(1)] long End);

[GrainType("recognize.numbers")]
internal sealed class NumbersGrain([PersistentState("numbers")] IPersistentState<NumbersState> storage) : Grain, INumbersGrain
{
    private const int BlockSize = 1_000;

    public async Task<NumberBlock> LeaseAsync()
    {
        var next = storage.State.Next;
        storage.State = storage.State with { Next = next + BlockSize };
        try
        {
            await storage.WriteStateAsync();
            return new(next, next + BlockSize);
        }
        catch
        {
            // The write may have reached the database: read it again before the next lease.
            DeactivateOnIdle();
            throw;
        }
    }
}

/// <summary>The first number that was never leased.</summary>
internal sealed record NumbersState : IStoredState
{
    [JsonPropertyName("v")]
    public int Format { get; init; } = StateSerializer.Format;

    public long Next { get; init; } = 1;

    [JsonExtensionData]
    public Dictionary<string, JsonElement>? Unknown { get; set; }
}

/// <summary>The states that are stored.</summary>
[JsonSerializable(typeof(OperationState))]
[JsonSerializable(typeof(NumbersState))]
internal sealed partial class StateJson : JsonSerializerContext;
