using System.Diagnostics;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Hosting;
using Xunit;

namespace Recognize.Orleans.Foundation;

/// <summary>A folder of settings as Kubernetes mounts it: each file is a link into a folder that is another link.</summary>
public sealed class SettingsDirectoriesTests : IAsyncLifetime
{
    private const int Changed = 1;
    private const int Refused = 2;
    private const string OldKey = "initech-old-key";
    private const string NewKey = "initech-new-key";
    private const string HooliKey = "hooli-key";
    private const string KeyFile = "Recognize__Customers__initech__Keys__0__Sha256";
    private const string ConnectionFile = "ConnectionStrings__Recognize";
    private const string Hooli = """{ "Recognize": { "Customers": { "hooli": { "SdkApiKey": "hooli-sdk", "Keys": [ { "Sha256": "<hash>", "Scopes": ["operations"] } ] } } } }""";

    private readonly string folder = Directory.CreateTempSubdirectory("recognize-directory-").FullName;
    private TestDatabase database = null!;

    public async Task InitializeAsync()
    {
        database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
        await MountAsync("..2026_01", Files(OldKey));
        Assert.All(Files(OldKey).Keys, name => File.CreateSymbolicLink(Path.Combine(folder, name), Path.Combine("..data", name)));
    }

    public async Task DisposeAsync()
    {
        await database.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task A_connection_string_and_customers_come_from_files()
    {
        await using var service = await StartAsync();

        Assert.Contains(database.ConnectionString.Split('=')[1], service.Services.GetRequiredService<Settings>().Storage.ConnectionString, StringComparison.Ordinal);
        (await ListAsync(service, OldKey)).ShouldBe(200);
        (await ListAsync(service, HooliKey)).ShouldBe(200);
        (await ListAsync(service, NewKey)).ShouldBe(Problem.InvalidKey);
    }

    // The file has the same length and the same time, and the link to it is the same: only the folder behind it is another.
    [Fact]
    public async Task A_key_ends_when_the_folder_is_swapped()
    {
        await using var service = await StartAsync();

        await MountAsync("..2026_02", Files(NewKey));

        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(service, OldKey)).ShouldBe(Problem.InvalidKey);
        (await ListAsync(service, NewKey)).ShouldBe(200);
        (await ListAsync(service, HooliKey)).ShouldBe(200);
    }

    [Fact]
    public async Task A_customer_may_come_later()
    {
        await MountAsync("..2026_02", Files(OldKey, withHooli: false));
        await using var service = await StartAsync();
        (await ListAsync(service, HooliKey)).ShouldBe(Problem.InvalidKey);

        await MountAsync("..2026_03", Files(OldKey));

        await service.Logs.WaitForAsync(Changed);
        (await ListAsync(service, HooliKey)).ShouldBe(200);
        (await ListAsync(service, OldKey)).ShouldBe(200);
    }

    [Fact]
    public async Task A_faulty_file_keeps_the_last_good_keys_and_is_told_without_them()
    {
        await using var service = await StartAsync();

        await MountAsync("..2026_02", new(Files(NewKey)) { [KeyFile] = "not a hash" });

        var line = Assert.Single(await service.Logs.WaitForAsync(Refused));
        Assert.Contains("Recognize:Customers:initech:Keys:0:Sha256", line.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("not a hash", line.Message, StringComparison.Ordinal);
        (await ListAsync(service, OldKey)).ShouldBe(200);
    }

    [Fact]
    public async Task A_file_that_cannot_be_read_keeps_the_last_good_keys()
    {
        await using var service = await StartAsync();

        File.Delete(Path.Combine(folder, "..data", KeyFile));

        var line = Assert.Single(await service.Logs.WaitForAsync(Refused));
        Assert.Contains($"{folder}/ cannot be read", line.Message, StringComparison.Ordinal);
        (await ListAsync(service, OldKey)).ShouldBe(200);
    }

    [Fact]
    public void The_command_line_wins_over_a_folder_and_a_folder_over_the_one_before_it()
    {
        var second = Directory.CreateDirectory(Path.Combine(folder, "second")).FullName;
        File.WriteAllText(Path.Combine(folder, "Recognize__Silo__Name"), "first\n");
        File.WriteAllText(Path.Combine(second, "Recognize__Silo__Name"), "second\n");
        File.WriteAllText(Path.Combine(folder, "Recognize__Silo__Port"), "1001");

        var configuration = ServiceHost.NewBuilder([$"--Recognize:SettingsDirectories={folder};{second}", "--Recognize:Silo:Port=1002"]).Configuration;

        Assert.Equal("second", configuration["Recognize:Silo:Name"]);
        Assert.Equal("1002", configuration["Recognize:Silo:Port"]);
    }

    // The logging of every test service is set in appsettings.json; a setting of an environment variable would reach other tests.
    [Fact]
    public void A_folder_wins_over_settings_files_and_environment_variables()
    {
        File.WriteAllText(Path.Combine(folder, "Logging__LogLevel__Default"), "Trace");

        var configuration = ServiceHost.NewBuilder([$"--Recognize:SettingsDirectories={folder}"]).Configuration;

        Assert.Equal("Trace", configuration["Logging:LogLevel:Default"]);
        var names = ((IConfigurationRoot)configuration).Providers.Select(provider => provider.GetType().Name).ToList();
        Assert.True(names.LastIndexOf("EnvironmentVariablesConfigurationProvider") < names.IndexOf(nameof(SettingPerFile)), string.Join(", ", names));
        Assert.Equal("CommandLineConfigurationProvider", names[names.IndexOf(nameof(SettingPerFile)) + 1]);
    }

    [Fact]
    public async Task A_folder_that_is_not_there_stops_the_start_by_its_name()
    {
        var missing = Path.Combine(folder, "missing");

        var refusal = await Assert.ThrowsAsync<StartRefusedException>(() => ServiceHost.BuildAsync(TestService.Arguments(database, new() { ["Recognize:SettingsDirectories"] = missing })));

        Assert.Contains($"Recognize:SettingsDirectories must be folders separated by ';'; {missing} does not exist.", refusal.Message, StringComparison.Ordinal);
    }

    private Dictionary<string, string> Files(string key, bool withHooli = true) => new()
    {
        [ConnectionFile] = $"{database.ConnectionString}\n",
        [KeyFile] = TestCustomers.Hash(key),
        ["Recognize__Customers__initech__Keys__0__Scopes__0"] = "operations",
        ["Recognize__Customers__initech__SdkApiKey"] = "initech-sdk\n",
        [SettingsDirectories.WholeFile] = withHooli
            ? Hooli.Replace("<hash>", TestCustomers.Hash(HooliKey), StringComparison.Ordinal)
            : "{}",
    };

    private Task<TestService> StartAsync() =>
        TestService.StartAsync(database, new() { ["ConnectionStrings:Recognize"] = null, ["Recognize:SettingsDirectories"] = folder });

    // The library moves no link that points to a folder.
    private async Task MountAsync(string dated, Dictionary<string, string> files)
    {
        var target = Directory.CreateDirectory(Path.Combine(folder, dated)).FullName;
        Assert.All(files, file =>
        {
            File.WriteAllText(Path.Combine(target, file.Key), file.Value);
            File.SetLastWriteTimeUtc(Path.Combine(target, file.Key), DateTime.UnixEpoch);
        });
        File.CreateSymbolicLink(Path.Combine(folder, "..data_tmp"), dated);
        using var move = Process.Start("mv", ["-T", Path.Combine(folder, "..data_tmp"), Path.Combine(folder, "..data")]);
        await move.WaitForExitAsync();
        Assert.Equal(0, move.ExitCode);
    }

    private static Task<Answer> ListAsync(TestService service, string key) => new ApiClient(service.Api, key).ListAsync(ApiClient.NewUser());
}
