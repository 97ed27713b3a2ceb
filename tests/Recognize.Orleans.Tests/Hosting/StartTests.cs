using System.Net;
using System.Net.Sockets;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.CommandLine;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Hosting;

public sealed class StartTests : IAsyncLifetime
{
    private TestDatabase database = null!;

    public async Task InitializeAsync() => database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);

    public async Task DisposeAsync() => await database.DisposeAsync();

    [Fact]
    public async Task Every_fault_is_told_at_once()
    {
        var refusal = await RefusalAsync(new()
        {
            ["Recognize:Silo:GatewayPort"] = "many",
            ["Recognize:Customers:Acme:Keys:0:Scopes:0"] = "everything",
            ["Recognize:Managment:Port"] = "8081",
        });

        Assert.StartsWith("Recognize.Orleans does not start:", refusal, StringComparison.Ordinal);
        Assert.Contains("Recognize:Silo:GatewayPort", refusal, StringComparison.Ordinal);
        Assert.Contains("Recognize:Customers:Acme:Keys:0:Scopes:0", refusal, StringComparison.Ordinal);
        Assert.Contains("Recognize:Managment:Port", refusal, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Recognize:Silo:Port", "{0}", "Recognize:Silo:Port")]
    [InlineData("Recognize:Silo:GatewayPort", "{0}", "Recognize:Silo:GatewayPort")]
    [InlineData("Recognize:Management:Port", "{0}", "Recognize:Management:Port")]
    [InlineData("Recognize:Management:Urls", "http://127.0.0.1:{0}", "Recognize:Management:Port or :Urls")]
    [InlineData("urls", "http://localhost:{0}", "--urls or ASPNETCORE_URLS")]
    public async Task A_port_in_use_is_refused_by_the_name_of_its_setting(string key, string value, string named)
    {
        using var other = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        other.Bind(new IPEndPoint(IPAddress.Loopback, FreePorts.Next()));
        other.Listen();
        var port = ((IPEndPoint)other.LocalEndPoint!).Port;

        var refusal = await RefusalAsync(new() { [key] = value.Replace("{0}", $"{port}", StringComparison.Ordinal) });

        Assert.Contains(named, refusal, StringComparison.Ordinal);
        Assert.Contains($"{port}", refusal, StringComparison.Ordinal);
        Assert.Contains("another process uses it", refusal, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("http://127.0.0.1:{0};http://127.0.0.1:{0}")]
    [InlineData("http://127.0.0.1:{0};https://127.0.0.1:{0}")]
    [InlineData("http://localhost:{0};http://127.0.0.1:{0}")]
    [InlineData("http://localhost:{0};http://[::1]:{0}")]
    [InlineData("http://*:{0};http://127.0.0.1:{0}")]
    [InlineData("http://[::]:{0};http://127.0.0.1:{0}")]
    [InlineData("http://0.0.0.0:{0};http://127.0.0.1:{0}")]
    [InlineData("http://0.0.0.0:{0};http://node-1.example:{0}")]
    public async Task Two_urls_at_one_address_are_refused(string urls)
    {
        var text = urls.Replace("{0}", $"{FreePorts.Next()}", StringComparison.Ordinal);

        Assert.Contains("share an address", await RefusalAsync(new() { ["urls"] = text }), StringComparison.Ordinal);
        Assert.Contains("share an address", await RefusalAsync(new() { ["Recognize:Management:Urls"] = text }), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_port_that_the_system_chooses_needs_an_address() =>
        Assert.Contains("http://localhost:0", await RefusalAsync(new() { ["urls"] = "http://localhost:0" }), StringComparison.Ordinal);

    [Theory]
    [InlineData("http_ports", "eighty")]
    [InlineData("http_ports", "-1")]
    [InlineData("https_ports", "8080x")]
    [InlineData("urls", "https://")]
    [InlineData("urls", "ftp://127.0.0.1:0")]
    [InlineData("urls", "https://127.0.0.1:0/path")]
    [InlineData("urls", "https://unix:/run/recognize.sock")]
    [InlineData("urls", "http://[::1:8080")]
    [InlineData("urls", "http://127.0.0.1:65536")]
    [InlineData("urls", ";")]
    public async Task A_url_that_is_none_is_refused(string key, string value)
    {
        var refusal = await RefusalAsync(new() { ["urls"] = null, [key] = value });

        Assert.Contains("urls must", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_second_service_on_a_sqlite_file_is_refused_until_the_first_is_gone()
    {
        await using (await TestService.StartAsync(database))
        {
            Assert.Contains("SQLite serves one process", await RefusalAsync([]), StringComparison.Ordinal);
        }

        await using var second = await TestService.StartAsync(database);
        (await second.Acme.ListAsync(ApiClient.NewUser())).ShouldBe(200);
    }

    [Fact]
    public async Task What_was_stored_is_there_after_a_new_start()
    {
        var user = ApiClient.NewUser();
        await using (var first = await TestService.StartAsync(database))
        {
            (await first.Acme.CreateAsync(user, "txn-1")).ShouldBeSuccess();
        }

        await using var second = await TestService.StartAsync(database);
        Assert.Equal(["txn-1"], await second.Acme.PendingIdsAsync(user));
        (await second.Acme.CreateAsync(user, "txn-2")).ShouldBeSuccess();
        Assert.NotEqual((await second.Acme.ReadAsync("txn-1")).Json.GetProperty("id").GetInt64(), (await second.Acme.ReadAsync("txn-2")).Json.GetProperty("id").GetInt64());
    }

    [Fact]
    public async Task A_client_that_has_a_list_from_before_a_new_start_need_not_read_it_again()
    {
        var user = ApiClient.NewUser();
        Answer before;
        await using (var first = await TestService.StartAsync(database))
        {
            (await first.Acme.CreateAsync(user, "txn-1", "pay \u20ac5", "alice", "pin")).ShouldBeSuccess();
            (await first.Acme.PostAsync($"/v2/users/{user}/operations", """{"operationId":"txn-2","expiresIn":86400}""")).ShouldBeSuccess();
            before = (await first.Acme.ListAsync(user)).ShouldBe(200);
        }

        await using var second = await TestService.StartAsync(database, new() { ["Recognize:Silo:Name"] = "node-2" });

        var after = (await second.Acme.ListAsync(user)).ShouldBe(200);
        Assert.Equal((before.Body, before["ETag"]), (after.Body, after["ETag"]));
        (await second.Acme.GetAsync($"/v2/users/{user}/operations/pending", ("If-None-Match", before["ETag"]!))).ShouldBe(304);
    }

    [Fact]
    public async Task A_database_without_a_schema_is_refused() =>
        Assert.Contains("apply-schema", await RefusalAsync(new() { ["Recognize:Storage:ApplySchema"] = "false" }), StringComparison.Ordinal);

    [Fact]
    public async Task A_database_that_does_not_answer_is_refused()
    {
        var refusal = await RefusalAsync(new()
        {
            ["Recognize:Storage:Engine"] = "PostgreSql",
            ["ConnectionStrings:Recognize"] = $"Host=127.0.0.1;Port={FreePorts.Next()};Database=recognize;Username=recognize;Password=secret",
        });

        Assert.Contains("ConnectionStrings:Recognize", refusal, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", refusal, StringComparison.Ordinal);
    }

    [Fact]
    public async Task In_development_the_demo_customer_exists_and_the_start_says_how_to_try_it()
    {
        await using var service = await TestService.StartAsync(database, new(TestCustomers.None) { ["environment"] = "Development" });
        var user = ApiClient.NewUser();

        (await new ApiClient(service.Api, OperationScopes.Operations.DemoKey).CreateAsync(user, "txn-1")).ShouldBeSuccess();
        (await new ApiClient(service.Api, OperationScopes.Decisions.DemoKey).DecideAsync("txn-1", user)).ShouldBeSuccess();
        (await new ApiClient(service.Api, OperationScopes.Decisions.DemoKey).ReadAsync("txn-1")).ShouldBe(Problem.ScopeMissing);
        var line = Assert.Single(await service.Logs.WaitForAsync(21));
        Assert.Contains($"curl -X POST {service.Api.GetLeftPart(UriPartial.Authority)}/v2/users/", line.Message, StringComparison.Ordinal);
        Assert.Contains(OperationScopes.Operations.DemoKey, line.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Production", "http://127.0.0.1:0")]
    [InlineData("Staging", "http://127.0.0.1:0")]
    [InlineData("Development", "http://0.0.0.0:0")]
    [InlineData("Development", "http://127.0.0.1:0;http://*:0")]
    public async Task Anywhere_else_a_service_without_customers_is_refused(string environment, string urls) =>
        Assert.Contains(
            "Recognize:Customers is empty",
            await RefusalAsync(new(TestCustomers.None) { ["environment"] = environment, ["urls"] = urls }),
            StringComparison.Ordinal);

    [Fact]
    public async Task A_demo_key_opens_nothing_outside_development()
    {
        await using var service = await TestService.StartAsync(database);

        (await new ApiClient(service.Api, OperationScopes.Operations.DemoKey).ListAsync(ApiClient.NewUser())).ShouldBe(Problem.InvalidKey);
    }

    [Fact]
    public async Task The_command_health_asks_the_service_on_this_machine()
    {
        var arguments = TestService.Arguments(database);
        Assert.Equal(1, await Commands.RunAsync(["health", .. arguments]));

        await using var service = await TestService.StartAsync(database);
        Assert.Equal(0, await Commands.RunAsync(["health", .. TestService.Arguments(database, new() { ["Recognize:Management:Port"] = $"{service.Management.Port}" })]));
    }

    [Theory]
    [InlineData("[::1]")]
    [InlineData("127.0.0.2")]
    [InlineData("127.0.0.1")]
    [InlineData("localhost")]
    [InlineData("0.0.0.0")]
    [InlineData("[::]")]
    [InlineData("*")]
    [InlineData("node-1.example")]
    public async Task The_command_health_asks_at_the_address_where_the_service_listens(string host)
    {
        var settings = new Dictionary<string, string?> { ["Recognize:Management:Urls"] = $"http://{host}:{FreePorts.Next()}" };

        await using var service = await TestService.StartAsync(database, settings);

        Assert.Equal(0, await Commands.RunAsync(["health", .. TestService.Arguments(database, settings)]));
    }

    [Fact]
    public async Task The_command_apply_schema_makes_the_database_usable_and_may_be_repeated()
    {
        Assert.Equal(0, await Commands.RunAsync(["apply-schema", .. TestService.Arguments(database)]));
        Assert.Equal(0, await Commands.RunAsync(["apply-schema", "--create-database", .. TestService.Arguments(database)]));

        await using var service = await TestService.StartAsync(database, new() { ["Recognize:Storage:ApplySchema"] = "false" });
        (await service.Acme.CreateAsync(ApiClient.NewUser(), "txn-1")).ShouldBeSuccess();
    }

    [Fact]
    public async Task An_unknown_command_does_nothing() => Assert.Equal(2, await Commands.RunAsync(["server", .. TestService.Arguments(database)]));

    [Fact]
    public async Task A_refused_start_ends_with_1() =>
        Assert.Equal(1, await Commands.RunAsync(TestService.Arguments(database, new() { ["Recognize:Silo:Port"] = "none" })));

    private async Task<string> RefusalAsync(Dictionary<string, string?> settings)
    {
        var refusal = await Assert.ThrowsAsync<StartRefusedException>(async () =>
        {
            await using var app = await ServiceHost.BuildAsync(TestService.Arguments(database, settings));
        });
        return refusal.Message;
    }
}
