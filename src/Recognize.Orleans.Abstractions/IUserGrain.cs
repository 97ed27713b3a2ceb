using System.Collections.Immutable;

namespace Recognize.Orleans;

/// <summary>
/// One user of one customer: creates the user's operations and keeps the ids of those that are pending. Reach it with
/// <see cref="GrainFactoryExtensions.GetUser"/>. A user needs no registration.
/// </summary>
/// <remarks>
/// Every call may be repeated and then reports what the first one did. When a call fails with an exception, its outcome
/// is unknown: repeat it to learn the outcome.
/// </remarks>
[GrainInterfaceType("recognize.user")]
public interface IUserGrain : IGrainWithStringKey
{
    /// <summary>
    /// Creates an operation that asks this user. When <see cref="OperationOutcome.Done"/> returns, the operation is
    /// durable and the user's pending list holds it.
    /// </summary>
    /// <exception cref="ArgumentException">
    /// A member breaks a rule of <see cref="OperationLimits"/>; nothing was changed.
    /// </exception>
    [Alias("create")]
    Task<OperationOutcome> CreateAsync(CreateOperation request);

    /// <summary>The user's pending operations, oldest first.</summary>
    [Alias("list-pending")]
    Task<ImmutableArray<Operation>> ListPendingAsync();

    /// <summary>
    /// A page of the user's operations, newest first by time and then by id. Every operation that exists at the call is
    /// in the history.
    /// </summary>
    /// <param name="status">
    /// Only operations with this status; null: all. With a status, a page reads 1,000 operations at most and may hold
    /// fewer than the limit, or none.
    /// </param>
    /// <param name="after">The <see cref="OperationPage.Next"/> of the previous page; null: the first page.</param>
    /// <param name="limit">The most operations on the page, 1 to 100.</param>
    /// <exception cref="ArgumentException">A parameter breaks a rule of <see cref="OperationLimits"/>.</exception>
    [Alias("list-history")]
    Task<OperationPage> ListHistoryAsync(OperationStatus? status, string? after, int limit);
}

/// <summary>A page of a user's history.</summary>
[GenerateSerializer, Immutable, Alias("recognize.operation-page")]
public sealed record OperationPage
{
    /// <summary>The operations, newest first.</summary>
    [Id(0)]
    public required ImmutableArray<Operation> Operations { get; init; }

    /// <summary>
    /// The position at which the next page begins; null when there is none. It stays valid for ever, on every silo.
    /// </summary>
    [Id(1)]
    public string? Next { get; init; }
}
