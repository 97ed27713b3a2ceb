using Recognize.Orleans.Api;
using Xunit;

namespace Recognize.Orleans.Fixtures;

/// <summary>Calls as a front end makes them, with a user and an operation id that no other test has.</summary>
internal static class Journey
{
    public const string Customer = "acme";

    private static long users;

    public static string NewUser() => $"{Interlocked.Increment(ref users):X12}";

    public static string NewId() => $"txn-{Guid.NewGuid():N}";

    /// <summary>One attempt of its own, unless it is named.</summary>
    public static Task<OperationOutcome> CreateAsync(this IGrainFactory silo, string userId, string operationId, string? attempt = null, string? payload = null, TimeSpan? expiresIn = null) =>
        silo.GetUser(new(Customer, userId)).CreateAsync(RequestOf(operationId, attempt, payload) with { ExpiresIn = expiresIn });

    public static CreateOperation RequestOf(string operationId, string? attempt = null, string? payload = null) =>
        new() { OperationId = operationId, Attempt = attempt ?? Guid.NewGuid().ToString("N"), Payload = payload };

    public static Task<OperationOutcome> DecideAsync(this IGrainFactory silo, string userId, string operationId, Verdict verdict = Verdict.Approve) =>
        silo.GetOperation(new(Customer, operationId)).DecideAsync(new() { UserId = userId, Verdict = verdict, AuthType = AuthType.Biom });

    public static Task<Operation?> ReadAsync(this IGrainFactory silo, string operationId) =>
        silo.GetOperation(new(Customer, operationId)).GetAsync();

    /// <summary>Keeps a grain that has found nothing: somebody waits for it to change.</summary>
    public static Task KeepAsync(this IGrainFactory silo, IAddressable grain) =>
        silo.GetGrain<IWatchedGrain>(grain.GetGrainId()).WatchAsync(silo.CreateObjectReference<IChangeObserver>(new Deaf()));

    public static async Task<IReadOnlyList<Operation>> HistoryAsync(this IGrainFactory silo, string userId) =>
        (await silo.GetUser(new(Customer, userId)).ListHistoryAsync(null, null, 100)).Operations;

    /// <summary>The whole history of a user, read page by page.</summary>
    public static async Task<IReadOnlyList<Operation>> PagedHistoryAsync(this IGrainFactory silo, string userId, int limit, OperationStatus? status = null)
    {
        var all = new List<Operation>();
        string? next = null;
        do
        {
            var page = await silo.GetUser(new(Customer, userId)).ListHistoryAsync(status, next, limit);
            Assert.True(page.Operations.Length <= limit);
            all.AddRange(page.Operations);
            next = page.Next;
        }
        while (next is not null);

        return all;
    }

    public static async Task<IReadOnlyList<string>> ListAsync(this IGrainFactory silo, string userId) =>
        [.. (await silo.GetUser(new(Customer, userId)).ListPendingAsync()).Select(operation => operation.OperationId)];

    private sealed class Deaf : IChangeObserver
    {
        public Task ChangedAsync(GrainId grain) => Task.CompletedTask;
    }
}
