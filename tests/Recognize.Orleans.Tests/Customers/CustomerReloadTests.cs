using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Customers;

/// <summary>The customer initech lives in a file that changes while the service runs; the others live elsewhere.</summary>
public sealed class CustomerReloadTests : IAsyncLifetime
{
    private const int Changed = 1;
    private const int Refused = 2;
    private const int Audited = 90;
    private const string OldKey = "initech-old-key";
    private const string NewKey = "initech-new-key";

    private readonly string folder = Directory.CreateTempSubdirectory("recognize-customers-").FullName;
    private TestService service = null!;

    public async Task InitializeAsync()
    {
        Write(File(OldKey));
        service = await TestService.StartAsync(
            StorageEngine.Sqlite,
            new() { ["Recognize:Audit"] = "true" },
            configure: builder => builder.Configuration.AddJsonFile(Path.Combine(folder, "customers.json"), optional: false, reloadOnChange: false));
    }

    public async Task DisposeAsync()
    {
        await service.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_changed_file_is_taken_over_and_a_key_that_is_gone_ends()
    {
        Write(File(OldKey, NewKey));
        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(OldKey)).ShouldBe(200);
        (await ListAsync(NewKey)).ShouldBe(200);

        Write(File(NewKey));
        await service.Logs.WaitForAsync(Changed, 2);
        (await ListAsync(OldKey)).ShouldBe(Problem.InvalidKey);
        (await ListAsync(NewKey)).ShouldBe(200);
        (await ListAsync(TestCustomers.AcmeBoth)).ShouldBe(200);
        Assert.Equal(
            [$"add-key initech {CustomerDirectory.HashOf(NewKey)[..8]}", $"remove-key initech {CustomerDirectory.HashOf(OldKey)[..8]}"],
            (await service.Logs.WaitForAsync(Audited, 2)).Select(line => JsonDocument.Parse(line.Message).RootElement).Select(entry => $"{entry.GetProperty("action")} {entry.GetProperty("customer")} {entry.GetProperty("key")}"));
    }

    [Fact]
    public async Task A_faulty_change_keeps_the_last_good_keys_and_is_told_without_them()
    {
        Write(File(NewKey).Replace("operations", "operation", StringComparison.Ordinal));

        var line = Assert.Single(await service.Logs.WaitForAsync(Refused));

        Assert.Contains("Recognize:Customers:initech:Keys:0:Scopes:0", line.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(TestCustomers.Hash(NewKey), line.Message, StringComparison.Ordinal);
        (await ListAsync(OldKey)).ShouldBe(200);
        (await ListAsync(NewKey)).ShouldBe(Problem.InvalidKey);
    }

    [Fact]
    public async Task A_file_that_is_no_json_keeps_the_last_good_keys_until_it_is_repaired()
    {
        Write(File(NewKey)[..^5]);

        var line = Assert.Single(await service.Logs.WaitForAsync(Refused));

        Assert.Contains("customers.json", line.Message, StringComparison.Ordinal);
        (await ListAsync(OldKey)).ShouldBe(200);
        (await ListAsync(TestCustomers.AcmeBoth)).ShouldBe(200);

        Write(File(NewKey));
        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(NewKey)).ShouldBe(200);
        (await ListAsync(OldKey)).ShouldBe(Problem.InvalidKey);
        Assert.Single(await service.Logs.WaitForAsync(Refused));
    }

    private static string File(params string[] keys) => JsonSerializer.Serialize(new
    {
        Recognize = new
        {
            Customers = new
            {
                initech = new
                {
                    SdkApiKey = "initech-sdk",
                    Keys = keys.Select(key => new { Sha256 = TestCustomers.Hash(key), Scopes = (string[])["operations"] }),
                },
            },
        },
    });

    // As one change, like an operator's tool does it: a file that is written in place can be read half-written.
    private void Write(string json)
    {
        var next = Path.Combine(folder, "next");
        System.IO.File.WriteAllText(next, json);
        System.IO.File.Move(next, Path.Combine(folder, "customers.json"), overwrite: true);
    }

    private Task<Answer> ListAsync(string key) => new ApiClient(service.Api, key).ListAsync(ApiClient.NewUser());
}
