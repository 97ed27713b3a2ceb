
namespace Recognize.Orleans.Benchmarks.Servers;

/// <summary>Kestrel and routing with nothing behind them: what a request costs before any work.</summary>
internal static class ConstantServer
{
    private static readonly OperationView Constant = new()
    {
        Id = 8819,
        Timestamp = "2025-05-21T10:30:00.000",
        NodeId = "operations-service-node-1",
        UserId = "A1B2C3D4E5F6",
        ApiKey = "bench-sdk-key",
        OperationId = "txn-20250521-001",
        State = "pending",
        ExternalUserId = "custom-name@example.com",
        OperationPayload = "Approve wire transfer of $500 to account 1234",
        Status = "pending",
    };

    private static readonly List<PendingView> ConstantList =
        [.. Enumerable.Repeat(new PendingView(Constant.OperationId, Constant.OperationPayload, Constant.ExternalUserId), 3)];

    public static async Task RunAsync()
    {
        var app = BaselineServer.CreateBuilder().Build();
        app.MapGet("/health/ready", () => "ready");
        app.MapGet("/v2/operations/{operationId}", () => BaselineJson.Answer(Constant, BaselineJson.Web.OperationView));
        app.MapPost("/v2/users/{userId}/operations", () => BaselineJson.Answer(new SuccessView(), BaselineJson.Web.SuccessView));
        app.MapPost("/v2/operations/{operationId}/decision", () => BaselineJson.Answer(new SuccessView(), BaselineJson.Web.SuccessView));
        app.MapGet("/v2/users/{userId}/operations/pending", () => BaselineJson.Answer(ConstantList, BaselineJson.Web.ListPendingView));
        await app.RunAsync();
    }
}
