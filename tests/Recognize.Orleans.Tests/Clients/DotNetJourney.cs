using Microsoft.Extensions.DependencyInjection;
using Recognize.Client;
using Recognize.Client.Api.Models;
using Recognize.Orleans.Fixtures;
using Xunit;
using OperationScopes = Recognize.Orleans.Operations.OperationScopes;

namespace Recognize.Orleans.Clients;

/// <summary>The journey of the client in C#.</summary>
internal sealed class DotNetJourney : IClientJourney
{
    private readonly ServiceProvider backendServices;
    private readonly ServiceProvider approverServices;
    private readonly RecognizeClient backend;
    private readonly RecognizeClient approver;
    private readonly IAsyncEnumerator<PendingList> events;
    private readonly string user;
    private readonly string id;
    private Task<OperationBody>? outcome;
    private Task? later;

    private DotNetJourney(Uri api, string user, string id)
    {
        (this.user, this.id) = (user, id);
        backendServices = Services(OperationScopes.Operations.DemoKey);
        approverServices = Services(OperationScopes.Decisions.DemoKey);
        backend = backendServices.GetRequiredService<RecognizeClient>();
        approver = approverServices.GetRequiredService<RecognizeClient>();
        events = approver.FollowPendingAsync(user).GetAsyncEnumerator();

        ServiceProvider Services(string key) => new ServiceCollection()
            .ConfigureHttpClientDefaults(http => http.AddHttpMessageHandler(() => new DocumentedAnswers()))
            .AddRecognizeClient(options => (options.BaseAddress, options.ApiKey, options.Retries) = (api, key, 20))
            .BuildServiceProvider();
    }

    public static Task<IClientJourney> StartAsync(Uri api, string user, string id) => Task.FromResult<IClientJourney>(new DotNetJourney(api, user, id));

    public async Task<(string Listed, string Seen)> AskAsync()
    {
        await CreateAsync(id, key: id);
        var list = await approver.Api.V2.Users[user].Operations.Pending.GetAsync();
        await events.MoveNextAsync();
        outcome = backend.WaitForOutcomeAsync(id, ServiceProcess.Patience);
        return (IdsOf(list!), IdsOf(events.Current.Operations));
    }

    public async Task<string> CreateWhereNothingRunsAsync()
    {
        // Whatever is sent again and again is sent for much longer.
        await Assert.ThrowsAsync<HttpRequestException>(() => CreateAsync($"{id}-without-key", key: null).WaitAsync(TimeSpan.FromSeconds(10)));
        later = CreateAsync($"{id}-later", key: $"{id}-later");
        return "lost";
    }

    public async Task<(string Status, string Others)> DecideAsync()
    {
        await later!;
        await approver.Api.V2.Operations[id].Decision.PostAsync(new() { UserId = user, Decision = "approve", AuthType = "biom" });
        var status = (await outcome!).Status!;
        while (IdsOf(events.Current.Operations).Split(',').Contains(id))
        {
            await events.MoveNextAsync().AsTask().WaitAsync(ServiceProcess.Patience);
        }

        return (status, IdsOf(events.Current.Operations));
    }

    public async ValueTask DisposeAsync()
    {
        await events.DisposeAsync();
        await backendServices.DisposeAsync();
        await approverServices.DisposeAsync();
    }

    private static string IdsOf(IEnumerable<PendingOperationBody> operations) => string.Join(',', operations.Select(operation => operation.OperationId));

    private Task<SuccessBody?> CreateAsync(string operation, string? key) => backend.Api.V2.Users[user].Operations.PostAsync(
        new() { OperationId = operation, OperationPayload = "Pay $500 to account 1234", ExpiresIn = 300 },
        request => request.Headers.Add("Idempotency-Key", key is null ? [] : [key]));
}
