using System.Collections.Immutable;

namespace Recognize.Orleans;

/// <summary>
/// One user of one customer: keeps the ids of the user's pending operations. Reach it with
/// <see cref="GrainFactoryExtensions.GetUser"/>. A user needs no registration.
/// </summary>
[GrainInterfaceType("recognize.user")]
public interface IUserGrain : IGrainWithStringKey
{
    /// <summary>The user's pending operations, the oldest first.</summary>
    [Alias("list-pending")]
    Task<ImmutableArray<Operation>> ListPendingAsync();

    /// <summary>The user's operations of any status, newest first by time and id. Operations that exist when it is called are in it.</summary>
    /// <param name="status">Only those that stand so; a page then looks at 1,000 operations at most and may hold fewer than asked for, or none.</param>
    /// <param name="after">The <see cref="OperationPage.Next"/> of the page before; null: the first page.</param>
    /// <param name="limit">The most operations of the page, 1 to 100.</param>
    /// <exception cref="ArgumentException">A parameter breaks a rule of <see cref="OperationLimits"/>.</exception>
    [Alias("list-history")]
    Task<OperationPage> ListHistoryAsync(OperationStatus? status, string? after, int limit);
}

/// <summary>A part of a user's history.</summary>
[GenerateSerializer, Immutable, Alias("recognize.operation-page")]
public sealed record OperationPage
{
    /// <summary>The operations, newest first.</summary>
    [Id(0)]
    public required ImmutableArray<Operation> Operations { get; init; }

    /// <summary>Where the next page begins; null: there is none. It stays valid for ever, on every silo.</summary>
    [Id(1)]
    public string? Next { get; init; }
}
