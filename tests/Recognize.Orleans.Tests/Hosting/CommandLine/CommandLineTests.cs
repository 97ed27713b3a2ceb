using System.Text.RegularExpressions;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Storage.Sqlite;
using Xunit;

namespace Recognize.Orleans.Hosting.CommandLine;

// The console is the process's own, and these tests read what is written to it.
[Collection(nameof(CommandLineTests))]
[CollectionDefinition(nameof(CommandLineTests), DisableParallelization = true)]
public sealed class CommandLineTests : IAsyncLifetime
{
    private TestDatabase database = null!;

    public async Task InitializeAsync() => database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);

    public async Task DisposeAsync() => await database.DisposeAsync();

    [Theory]
    [InlineData("--help")]
    [InlineData("serve", "--help")]
    [InlineData("apply-schema", "--help")]
    [InlineData("schema-status", "--help")]
    [InlineData("new-key", "--help")]
    [InlineData("print-config", "--help")]
    [InlineData("health", "--help")]
    [InlineData("--version")]
    public async Task Help_and_version_are_told_and_change_nothing(params string[] words)
    {
        var (code, output, _) = await RunAsync([.. words, .. Settings]);

        Assert.Equal(Commands.Done, code);
        Assert.NotEmpty(output);
        Assert.False(File.Exists(DatabaseFile));
    }

    [Theory]
    [InlineData("--bogus")]
    [InlineData("aply-schema")]
    [InlineData("apply-schema", "now")]
    [InlineData("apply-schema", "--creat-database")]
    [InlineData("new-key", "--scopes", "everything")]
    [InlineData("serve", "--bogus=1")]
    public async Task What_is_no_command_and_no_option_is_refused_and_changes_nothing(params string[] words)
    {
        var (code, _, errors) = await RunAsync([.. words, .. Settings]);

        Assert.Equal(Commands.Misused, code);
        Assert.NotEmpty(errors);
        Assert.False(File.Exists(DatabaseFile));
    }

    [Theory]
    [InlineData("--Recognize:Storge:Engine=Sqlite", "--Recognize:Storge:Engine is not a setting of this service.")]
    [InlineData("--Recognise:Storage:Engine=Sqlite", "--Recognise:Storage:Engine is not a setting of this service.")]
    [InlineData("--Recognize:Silo:Port", "--Recognize:Silo:Port needs a value: --Recognize:Silo:Port=value.")]
    public async Task A_switch_that_sets_nothing_is_refused_by_its_name(string word, string expected)
    {
        var (code, _, errors) = await RunAsync(["schema-status", .. Settings, word]);

        Assert.Equal(Commands.Misused, code);
        Assert.Contains(expected, errors, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Settings_of_the_framework_and_of_customers_pass()
    {
        var (code, _, errors) = await RunAsync(
            ["schema-status", .. Settings, "--Logging:LogLevel:Default=Warning", "--Kestrel:Limits:MaxRequestBodySize", "1000", "--Recognize:Customers:acme:SdkApiKey=acme", "--urls", "http://127.0.0.1:0"]);

        Assert.Equal(Commands.Failed, code);
        Assert.Equal("", errors);
    }

    [Fact]
    public async Task A_schema_is_foretold_applied_and_told_of()
    {
        var (missing, before, _) = await RunAsync(["schema-status", .. Settings]);
        var (_, foretold, _) = await RunAsync(["apply-schema", "--dry-run", .. Settings]);
        Assert.Equal(Commands.Failed, missing);
        Assert.Contains("There is no Sqlite database yet", before, StringComparison.Ordinal);
        Assert.Contains("Would run sql/sqlite/0001-schema.sql.", foretold, StringComparison.Ordinal);
        Assert.False(File.Exists(DatabaseFile));

        var (applied, first, _) = await RunAsync(["apply-schema", .. Settings]);
        var (_, second, _) = await RunAsync(["apply-schema", .. Settings]);
        var (status, after, _) = await RunAsync(["schema-status", .. Settings]);

        Assert.Equal((Commands.Done, Commands.Done), (applied, status));
        Assert.Equal(["The Sqlite database had no schema of this service.", "Ran sql/sqlite/0001-schema.sql.", $"It has schema version {Schema.Version} now."], first.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Equal([$"The Sqlite database had schema version {Schema.Version}.", "Nothing had to run."], second.Split('\n', StringSplitOptions.RemoveEmptyEntries));
        Assert.Contains("The service can work with it.", after, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_new_key_is_shown_once_with_the_settings_that_let_it_in()
    {
        var (code, output, _) = await RunAsync(["new-key", "--scopes", "operations", "decisions"]);
        var (_, other, _) = await RunAsync(["new-key"]);

        var key = Regex.Match(output, "^[A-Za-z0-9_-]{43}$", RegexOptions.Multiline).Value;
        Assert.Equal(Commands.Done, code);
        Assert.Contains($"{{ \"Sha256\": \"{CustomerDirectory.HashOf(key)}\", \"Scopes\": [\"operations\", \"decisions\"] }}", output, StringComparison.Ordinal);
        Assert.DoesNotContain(key, other, StringComparison.Ordinal);
        Assert.Contains("\"Scopes\": [\"operations\"]", other, StringComparison.Ordinal);
    }

    [Fact]
    public async Task The_configuration_is_shown_with_its_sources_and_without_secrets()
    {
        var (code, output, errors) = await RunAsync(
        [
            "print-config", .. Settings, "--Recognize:Storage:Engine=PostgreSql", "--ConnectionStrings:Recognize=Host=db;Database=recognize;Username=u;Password=s3cret",
            "--Recognize:Management:Password=correct horse battery", "--Kestrel:Certificates:Default:Password=topsecret",
            "--Recognize:Customers:acme:SdkApiKey=acme-sdk", $"--Recognize:Customers:acme:Keys:0:Sha256={CustomerDirectory.HashOf("key")}", "--Recognize:Customers:acme:Keys:0:Scopes:0=operations",
        ]);

        Assert.Equal("", errors);
        Assert.Equal(Commands.Done, code);
        var lines = output.Split('\n');
        Assert.Contains("Recognize:Storage:Engine = PostgreSql   # command line", lines);
        Assert.Contains("Recognize:Silo:GatewayPort = 0   # default", lines);
        Assert.Contains("Recognize:Operations:Lifetime = (none)   # default", lines);
        Assert.Contains("Recognize:Management:Password = (hidden)   # command line", lines);
        Assert.Contains("Recognize:Customers:acme:SdkApiKey = acme-sdk   # command line", lines);
        Assert.Contains(lines, line => line.StartsWith("ConnectionStrings:Recognize = host=db;", StringComparison.OrdinalIgnoreCase));
        Assert.All(["s3cret", "correct horse", "topsecret", CustomerDirectory.HashOf("key")], secret => Assert.DoesNotContain(secret, output, StringComparison.Ordinal));
    }

    private string DatabaseFile => SqliteDatabase.FileOf(database.ConnectionString);

    private string[] Settings => [$"--ConnectionStrings:Recognize={database.ConnectionString}"];

    private static async Task<(int Code, string Output, string Errors)> RunAsync(params string[] args)
    {
        var (output, errors) = (Console.Out, Console.Error);
        using var told = new StringWriter { NewLine = "\n" };
        using var complained = new StringWriter { NewLine = "\n" };
        try
        {
            Console.SetOut(told);
            Console.SetError(complained);
            return (await Commands.RunAsync(args), told.ToString(), complained.ToString());
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(errors);
        }
    }
}
