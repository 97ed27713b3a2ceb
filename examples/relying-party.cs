// Asks a user to approve something and waits for the end. Exit code 0: approved, 1: not, 2: refused. Start: dotnet run examples/relying-party.cs A1B2C3D4E5F6 'Pay $500'
#:property PublishAot=false
using System.Net.Http.Json;
using System.Text.Json.Nodes;

var user = args.ElementAtOrDefault(0) ?? "A1B2C3D4E5F6";
var payload = args.ElementAtOrDefault(1) ?? "Pay $500 to account 1234";
var id = $"txn-{Guid.NewGuid()}";
using var api = new HttpClient
{
    BaseAddress = new Uri(Environment.GetEnvironmentVariable("RECOGNIZE_URL") ?? "http://localhost:8080"),
    DefaultRequestHeaders = { { "X-Api-Key", Environment.GetEnvironmentVariable("RECOGNIZE_KEY") ?? "demo-backend-key" } },
};

// The same Idempotency-Key each time: a create whose answer was lost can be sent again.
await SendAsync(() => new(HttpMethod.Post, $"/v2/users/{user}/operations")
{
    Headers = { { "Idempotency-Key", id } },
    Content = JsonContent.Create(new { operationId = id, operationPayload = payload, expiresIn = 300 }),
});

JsonNode operation;
do
{
    operation = await SendAsync(() => new(HttpMethod.Get, $"/v2/operations/{Uri.EscapeDataString(id)}") { Headers = { { "Prefer", "wait=60" } } });
}
while ((string?)operation["status"] is "pending");

Console.WriteLine(operation.ToJsonString());
return (string?)operation["status"] is "approved" ? 0 : 1;

// 429 and 503 say when to come again; any other error is final.
async Task<JsonNode> SendAsync(Func<HttpRequestMessage> request)
{
    while (true)
    {
        using var answer = await api.SendAsync(request());
        var body = await answer.Content.ReadAsStringAsync();
        if ((int)answer.StatusCode is not (429 or 503))
        {
            if (answer.IsSuccessStatusCode)
            {
                return JsonNode.Parse(body)!;
            }

            Console.Error.WriteLine(body);
            Environment.Exit(2);
        }

        await Task.Delay(answer.Headers.RetryAfter?.Delta ?? TimeSpan.FromSeconds(1));
    }
}
