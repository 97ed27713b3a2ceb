using System.Diagnostics;
using System.Text.Json;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Customers;

/// <summary>Two settings files beside those of the service: one as Kubernetes mounts it, behind two links, and an ordinary one.</summary>
public sealed class SettingsFilesTests : IAsyncLifetime
{
    private const int Changed = 1;
    private const int Refused = 2;
    private const string OldKey = "initech-old-key";
    private const string NewKey = "initech-new-key";
    private const string OtherKey = "hooli-key";

    private readonly string folder = Directory.CreateTempSubdirectory("recognize-settings-").FullName;
    private TestService service = null!;

    public async Task InitializeAsync()
    {
        await MountAsync("..2026_01", Customer("initech", OldKey));
        File.CreateSymbolicLink(Path.Combine(folder, "mounted.json"), Path.Combine("..data", "mounted.json"));
        Write(Customer("hooli", OtherKey));
        service = await TestService.StartAsync(StorageEngine.Sqlite, configure: builder => builder.Configuration
            .AddJsonFile(Path.Combine(folder, "mounted.json"), optional: true, reloadOnChange: false)
            .AddJsonFile(Path.Combine(folder, "ordinary.json"), optional: true, reloadOnChange: false));
    }

    public async Task DisposeAsync()
    {
        await service.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    // The two files have the same length and the same time.
    [Fact]
    public async Task A_key_ends_when_a_link_on_the_way_to_its_file_points_elsewhere()
    {
        await MountAsync("..2026_02", Customer("initech", NewKey));

        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(OldKey)).ShouldBe(Problem.InvalidKey);
        (await ListAsync(NewKey)).ShouldBe(200);
    }

    [Fact]
    public async Task A_key_ends_when_its_file_is_deleted()
    {
        File.Delete(Path.Combine(folder, "ordinary.json"));

        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(OtherKey)).ShouldBe(Problem.InvalidKey);
        (await ListAsync(OldKey)).ShouldBe(200);
    }

    [Fact]
    public async Task A_file_that_was_broken_and_then_emptied_is_broken_no_more()
    {
        Write("{");
        await service.Logs.WaitForAsync(Refused);
        Write("{}");
        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(OtherKey)).ShouldBe(Problem.InvalidKey);

        await MountAsync("..2026_02", Customer("initech", NewKey));

        await service.Logs.WaitForAsync(Changed, 2);
        (await ListAsync(OldKey)).ShouldBe(Problem.InvalidKey);
        (await ListAsync(NewKey)).ShouldBe(200);
    }

    [Fact]
    public async Task A_file_that_was_broken_and_then_deleted_is_broken_no_more()
    {
        Write("{");
        await service.Logs.WaitForAsync(Refused);
        File.Delete(Path.Combine(folder, "ordinary.json"));
        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(OtherKey)).ShouldBe(Problem.InvalidKey);

        await MountAsync("..2026_02", Customer("initech", NewKey));

        await service.Logs.WaitForAsync(Changed, 2);
        (await ListAsync(OldKey)).ShouldBe(Problem.InvalidKey);
        (await ListAsync(NewKey)).ShouldBe(200);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    public async Task A_broken_file_keeps_its_own_customers_and_holds_up_no_change_of_another(string broken)
    {
        Write(broken);
        var line = Assert.Single(await service.Logs.WaitForAsync(Refused));
        Assert.Contains("ordinary.json cannot be read", line.Message, StringComparison.Ordinal);

        await MountAsync("..2026_02", Customer("initech", NewKey));

        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(OldKey)).ShouldBe(Problem.InvalidKey);
        (await ListAsync(NewKey)).ShouldBe(200);
        (await ListAsync(OtherKey)).ShouldBe(200);
        Assert.Single(await service.Logs.WaitForAsync(Refused));
    }

    private static string Customer(string name, string key) => JsonSerializer.Serialize(new
    {
        Recognize = new
        {
            Customers = new Dictionary<string, object>
            {
                [name] = new
                {
                    SdkApiKey = $"{name}-sdk",
                    Keys = (object[])[new { Sha256 = TestCustomers.Hash(key), Scopes = (string[])["operations"] }],
                },
            },
        },
    });

    private void Write(string json)
    {
        var next = Path.Combine(folder, "next");
        File.WriteAllText(next, json);
        File.Move(next, Path.Combine(folder, "ordinary.json"), overwrite: true);
    }

    // The library moves no link that points to a folder.
    private async Task MountAsync(string dated, string json)
    {
        var file = Path.Combine(Directory.CreateDirectory(Path.Combine(folder, dated)).FullName, "mounted.json");
        await File.WriteAllTextAsync(file, json);
        File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        File.CreateSymbolicLink(Path.Combine(folder, "..data_tmp"), dated);
        using var move = Process.Start("mv", ["-T", Path.Combine(folder, "..data_tmp"), Path.Combine(folder, "..data")]);
        await move.WaitForExitAsync();
        Assert.Equal(0, move.ExitCode);
    }

    private Task<Answer> ListAsync(string key) => new ApiClient(service.Api, key).ListAsync(ApiClient.NewUser());
}
