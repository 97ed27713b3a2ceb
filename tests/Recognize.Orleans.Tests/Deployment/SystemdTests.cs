using System.Globalization;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Documents;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.CommandLine;
using Xunit;

namespace Recognize.Orleans.Deployment;

/// <summary>The unit names settings that exist, and leaves the service the time that it needs. That systemd reads it is checked by .ci/run.</summary>
public sealed class SystemdTests
{
    private const string Folder = "deploy/systemd";

    private static readonly ILookup<string, string> Unit = Pairs(File.ReadLines(Repository.PathOf($"{Folder}/recognize.service")));

    private static readonly ILookup<string, string> Environment = Pairs(File.ReadLines(Repository.PathOf($"{Folder}/recognize.env")).Select(line => line.StartsWith("#O", StringComparison.Ordinal) || line.StartsWith("#R", StringComparison.Ordinal) ? line[1..] : line));

    private static readonly KeyValuePair<string, string>[] Variables =
        [.. Unit["Environment"].Select(text => text.Trim('"').Split('=', 2)).Select(pair => KeyValuePair.Create(pair[0], pair[1])).Concat(Environment.Select(variable => KeyValuePair.Create(variable.Key, variable.Single())))];

    [Fact]
    public void Every_variable_is_a_setting_that_starts_the_service()
    {
        var faults = new List<string>();
        var settings = Variables.Where(variable => !variable.Key.StartsWith("OTEL_", StringComparison.Ordinal) && !variable.Key.StartsWith("DOTNET_", StringComparison.Ordinal))
            .Select(variable => KeyValuePair.Create(variable.Key.Replace("__", ":", StringComparison.Ordinal).Replace("ASPNETCORE_", "", StringComparison.Ordinal), (string?)variable.Value));

        var read = TestSettings.Read(
            new ConfigurationBuilder().AddInMemoryCollection(settings).AddInMemoryCollection([new("Recognize:SettingsDirectories", null), new("ConnectionStrings:Recognize", "Host=db;Database=recognize")]).Build(),
            "/opt/recognize",
            faults);

        Assert.Empty(faults);
        Assert.Equal(StorageEngine.PostgreSql, read.Storage.Engine);
        Assert.All(settings, setting => Assert.Matches("^(Recognize:.+|URLS)$", setting.Key));
    }

    [Fact]
    public void Secrets_are_credentials_and_never_variables()
    {
        Assert.Equal(["ConnectionStrings__Recognize:/etc/recognize/connection-string"], Unit["LoadCredential"]);
        Assert.EndsWith(";%d", Assert.Single(Variables, variable => variable.Key == "Recognize__SettingsDirectories").Value, StringComparison.Ordinal);
        Assert.DoesNotContain(Variables, variable => variable.Key.Contains("Password", StringComparison.Ordinal) || variable.Key.StartsWith("ConnectionStrings", StringComparison.Ordinal));
    }

    [Fact]
    public void The_service_has_more_time_to_stop_than_it_takes()
    {
        var patience = TimeSpan.FromSeconds(int.Parse(Unit["TimeoutStopSec"].Single(), CultureInfo.InvariantCulture));

        Assert.True(patience > TestSettings.Read(new ConfigurationBuilder().Build(), "/opt/recognize", []).Silo.DrainDelay + TimeSpan.FromSeconds(30));
        Assert.Equal("SIGTERM", Unit["KillSignal"].Single());
    }

    [Fact]
    public void It_is_started_again_after_everything_but_a_mistyped_command_line()
    {
        Assert.Equal("on-failure", Unit["Restart"].Single());
        Assert.Equal(Commands.Misused.ToString(CultureInfo.InvariantCulture), Unit["RestartPreventExitStatus"].Single());
        Assert.Equal("0", Unit["StartLimitIntervalSec"].Single());
    }

    [Theory]
    [InlineData("User", "recognize")]
    [InlineData("StateDirectory", "recognize")]
    [InlineData("UMask", "0077")]
    [InlineData("ProtectSystem", "strict")]
    [InlineData("ProtectHome", "yes")]
    [InlineData("PrivateTmp", "yes")]
    [InlineData("NoNewPrivileges", "yes")]
    [InlineData("CapabilityBoundingSet", "")]
    [InlineData("SystemCallFilter", "@system-service")]
    [InlineData("MemoryDenyWriteExecute", "no")]
    public void It_may_do_what_it_needs_and_no_more(string directive, string value) => Assert.Equal([value], Unit[directive]);

    private static ILookup<string, string> Pairs(IEnumerable<string> lines) => lines
        .Where(line => line.Contains('=', StringComparison.Ordinal) && !line.StartsWith('#'))
        .Select(line => line.Split('=', 2))
        .ToLookup(pair => pair[0], pair => pair[1]);
}
