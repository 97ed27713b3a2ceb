using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using OpenTelemetry.Metrics;
using OpenTelemetry.Trace;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Processes;
using Xunit;

namespace Recognize.Orleans.Hosting;

/// <summary>What is exported tells the way of a request and names nobody.</summary>
// Activities of other services in this process would be recorded too: nothing runs beside these.
[Collection(MeasuredProcesses.Name)]
public sealed class TelemetryTests
{
    private const int Refused = 80;

    private readonly List<Activity> spans = [];
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableTheory]
    [InlineData(nameof(StorageEngine.Sqlite), "sqlite")]
    [InlineData(nameof(StorageEngine.PostgreSql), "postgresql")]
    [InlineData(nameof(StorageEngine.SqlServer), "microsoft.sql_server")]
    public async Task A_create_reads_from_HTTP_to_the_commit_that_is_linked_with_it(string engine, string system)
    {
        await using var receiver = await OtlpReceiver.StartAsync();
        await using var service = await TestService.StartAsync(Enum.Parse<StorageEngine>(engine), receiver.Settings, KeepSpans);

        // The first one also reserves numbers.
        (await service.Acme.CreateAsync(user, $"{id}-first")).ShouldBeSuccess();
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        await service.StopAsync();

        var request = spans.Where(span => span.DisplayName is "POST /v2/users/{userId}/operations").MaxBy(span => span.StartTimeUtc)!;
        var write = Assert.Single(spans, span => span.DisplayName is "write" && span.TraceId == request.TraceId);
        Assert.Equal([request.SpanId], AncestorsOf(write).Select(span => span.SpanId).TakeLast(1));
        Assert.Contains(AncestorsOf(write), span => span.Source.Name.StartsWith("Microsoft.Orleans", StringComparison.Ordinal));
        var commit = Assert.Single(spans, span => span.DisplayName is "commit" && span.Links.Any(link => link.Context.SpanId == write.SpanId));
        Assert.Contains(write.Links, link => link.Context.SpanId == commit.SpanId);
        Assert.Equal((ActivityKind.Client, system, 1), (commit.Kind, commit.GetTagItem("db.system.name"), commit.GetTagItem("db.operation.batch.size")));
    }

    [Fact]
    public async Task Requests_that_share_a_commit_are_all_linked_with_it()
    {
        await using var receiver = await OtlpReceiver.StartAsync();
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, receiver.Settings, KeepSpans);

        await Task.WhenAll(Enumerable.Range(0, 60).Select(number => service.Acme.CreateAsync(ApiClient.NewUser(), $"{id}-{number}")));
        await service.StopAsync();

        var writes = spans.Where(span => span.DisplayName is "write").ToList();
        var commits = spans.Where(span => span.DisplayName is "commit").ToList();
        Assert.InRange(writes.Count, 60, 61);
        Assert.Equal(writes.Select(write => write.SpanId).ToHashSet(), commits.SelectMany(commit => commit.Links).Select(link => link.Context.SpanId).ToHashSet());
        Assert.All(commits, commit => Assert.Equal(commit.Links.Count(), commit.GetTagItem("db.operation.batch.size")));
        Assert.Contains(commits, commit => commit.Links.Count() > 1);
    }

    [SkippableTheory]
    [InlineData(nameof(StorageEngine.Sqlite), "true")]
    [InlineData(nameof(StorageEngine.PostgreSql), "true")]
    [InlineData(nameof(StorageEngine.PostgreSql), "false")]
    public async Task Nothing_that_is_sent_holds_the_id_of_a_user_or_an_operation(string engine, string groupCommit)
    {
        await using var receiver = await OtlpReceiver.StartAsync();
        await using var service = await TestService.StartAsync(Enum.Parse<StorageEngine>(engine), new(receiver.Settings) { ["Recognize:Storage:GroupCommit"] = groupCommit }, KeepSpans);
        var api = service.Acme;

        (await api.CreateAsync(user, id, $"payload-{id}")).ShouldBeSuccess();
        (await api.CreateAsync(user, id)).ShouldBe(409);
        (await api.ListAsync(user)).ShouldBe(200);
        (await api.GetAsync($"/v2/users/{user}/operations?limit=5&status=pending")).ShouldBe(200);
        (await api.DecideAsync(id, user)).ShouldBeSuccess();
        (await api.ReadAsync(id)).ShouldBe(200);
        (await api.GetAsync($"/v2/users/{user}/operations?cursor={id}")).ShouldBe(400);
        (await api.GetAsync($"/v2/nowhere/{user}/{id}")).ShouldBe(404);
        await service.Database.ExecuteAsync("ALTER TABLE OrleansStorage RENAME TO Elsewhere");
        (await api.CreateAsync(user, $"{id}-late")).ShouldBe(503);
        (await api.ReadAsync($"{id}-late")).ShouldBe(503);
        Flush(service);
        await service.StopAsync();

        // The log may name a row, and stays on the console.
        Assert.Empty(receiver.TextSentTo("/v1/logs"));
        Assert.DoesNotContain(service.Logs.All, line => line.EventId == Refused && line.Category.StartsWith("Recognize", StringComparison.Ordinal));
        var traces = receiver.TextSentTo("/v1/traces");
        Assert.Contains("/v2/operations/{operationId}", traces, StringComparison.Ordinal);
        Assert.Contains("recognize.creates", receiver.TextSentTo("/v1/metrics"), StringComparison.Ordinal);
        Assert.All([traces, receiver.TextSentTo("/v1/metrics")], sent => Assert.All([user, id, TestCustomers.AcmeBoth], secret => Assert.DoesNotContain(secret, sent, StringComparison.OrdinalIgnoreCase)));
        Assert.Contains(spans, span => span is { Status: ActivityStatusCode.Error, DisplayName: "write" or "commit" or "read" or "select" });
    }

    [Fact]
    public async Task Only_requests_of_the_API_begin_a_trace()
    {
        await using var receiver = await OtlpReceiver.StartAsync();
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, receiver.Settings, KeepSpans);
        using var management = new HttpClient { BaseAddress = service.Management };

        await management.GetStringAsync("/health/live");
        await management.GetStringAsync("/health/ready");
        await management.GetStringAsync("/metrics");
        await management.GetStringAsync("/dashboard/DashboardCounters");
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        await service.StopAsync();

        var roots = spans.Where(span => span.ParentSpanId == default && !span.Links.Any());
        Assert.Equal(["POST /v2/users/{userId}/operations"], roots.Select(span => span.DisplayName));
    }

    [Fact]
    public async Task The_resource_names_the_service_its_version_and_one_instance()
    {
        await using var receiver = await OtlpReceiver.StartAsync();
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, receiver.Settings);
        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();
        Flush(service);
        await service.StopAsync();

        var traces = receiver.TextSentTo("/v1/traces");
        Assert.Matches("(?s)service\\.name[^a-z]*recognize", traces);
        Assert.Contains(ServiceHost.Version, traces, StringComparison.Ordinal);
        Assert.Matches("(?s)service\\.instance\\.id.{2,6}[0-9a-f-]{36}", traces);
    }

    [Fact]
    public async Task A_receiver_that_takes_nothing_is_told_in_the_log_once()
    {
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new()
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = $"http://127.0.0.1:{FreePorts.Next()}",
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_BSP_SCHEDULE_DELAY"] = "50",
        });

        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();

        var line = Assert.Single(await service.Logs.WaitForAsync(Refused));
        Assert.Matches("OTEL_EXPORTER_OTLP_ENDPOINT.* is lost: .*(Connection refused|HttpRequestException)", line.Message);
    }

    [SkippableFact]
    public async Task A_receiver_that_others_have_written_shows_the_trace_of_a_create_with_its_commit()
    {
        await using var dashboard = await AspireDashboard.StartAsync();
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new() { ["OTEL_EXPORTER_OTLP_ENDPOINT"] = dashboard.Otlp.ToString(), ["OTEL_BSP_SCHEDULE_DELAY"] = "100" });

        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();

        var spans = await dashboard.SpansAsync("POST /v2/users/{userId}/operations");
        var request = Assert.Single(spans, span => span.Name is "POST /v2/users/{userId}/operations");
        Assert.Contains(spans, span => span.Name is "write" && span.Trace == request.Trace);
        Assert.Contains(spans, span => span.Name is "commit" && span.Links.Contains(request.Trace));
        Assert.Equal(["recognize"], await dashboard.ResourcesAsync());
    }

    [Fact]
    public async Task A_receiver_that_says_nothing_is_told_in_the_log_too()
    {
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new()
        {
            ["OTEL_EXPORTER_OTLP_ENDPOINT"] = $"http://{silent.LocalEndpoint}",
            ["OTEL_EXPORTER_OTLP_PROTOCOL"] = "http/protobuf",
            ["OTEL_EXPORTER_OTLP_TIMEOUT"] = "300",
            ["OTEL_BSP_SCHEDULE_DELAY"] = "50",
        });

        (await service.Acme.CreateAsync(user, id)).ShouldBeSuccess();

        Assert.Contains("is lost: ", Assert.Single(await service.Logs.WaitForAsync(Refused)).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("parentbased_always_on", "00", false)]
    [InlineData("parentbased_always_on", "01", true)]
    [InlineData("parentbased_always_off", "01", true)]
    [InlineData("always_off", "01", false)]
    [InlineData("always_on", "00", true)]
    public async Task Whether_a_request_is_traced_is_its_callers_to_say_or_not(string sampler, string flags, bool isTraced)
    {
        await using var receiver = await OtlpReceiver.StartAsync();
        await using var service = await TestService.StartAsync(StorageEngine.Sqlite, new(receiver.Settings) { ["OTEL_TRACES_SAMPLER"] = sampler }, KeepSpans);

        (await service.Acme.SendRawAsync("GET", $"/v2/operations/{id}", null, ("traceparent", $"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-{flags}"))).ShouldBe(404);
        await service.StopAsync();

        Assert.Equal(isTraced, spans.Exists(span => span.DisplayName is "GET /v2/operations/{operationId}"));
        Assert.Equal(isTraced, spans.Exists(span => span.DisplayName is "read"));
    }

    private static void Flush(TestService service)
    {
        service.Services.GetRequiredService<TracerProvider>().ForceFlush();

        // False, because the reader of Prometheus has nothing to flush.
        service.Services.GetRequiredService<MeterProvider>().ForceFlush();
    }

    private void KeepSpans(WebApplicationBuilder builder) =>
        builder.Services.ConfigureOpenTelemetryTracerProvider(tracing => tracing.AddInMemoryExporter(spans));

    private IEnumerable<Activity> AncestorsOf(Activity span) =>
        spans.Find(one => one.SpanId == span.ParentSpanId) is { } parent ? [parent, .. AncestorsOf(parent)] : [];
}
