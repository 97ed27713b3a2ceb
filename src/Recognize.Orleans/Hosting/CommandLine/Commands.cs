using System.CommandLine;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Hosting.CommandLine;

/// <summary>The commands of the program. A mistyped command line is refused before anything is done.</summary>
internal static class Commands
{
    /// <summary>The exit code of a command that did what it was told, or found what it asked for.</summary>
    public const int Done = 0;

    /// <summary>
    /// The exit code of a command that failed, or did not find it; the reason is on the standard error.
    /// </summary>
    public const int Failed = 1;

    /// <summary>The exit code of an invalid command line. Nothing was done.</summary>
    public const int Misused = 2;

    /// <summary>Runs a command line to its end.</summary>
    /// <returns>The exit code of the process.</returns>
    public static async Task<int> RunAsync(string[] args)
    {
        var switches = ConfigurationSwitches.Take(args);
        var parsed = Root(switches.Configuration).Parse(switches.Rest);
        var errors = parsed.Errors.Select(error => error.Message).Concat(switches.Errors).ToList();
        if (errors.Count > 0)
        {
            await Console.Error.WriteLineAsync($"{string.Join(Environment.NewLine, errors)}{Environment.NewLine}Recognize.Orleans --help tells what there is.");
            return Misused;
        }

        try
        {
            return await parsed.InvokeAsync(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
        }
        catch (StartRefusedException refusal)
        {
            await Console.Error.WriteLineAsync(refusal.Message);
            return Failed;
        }
    }

    private static RootCommand Root(string[] configuration)
    {
        var createDatabase = new Option<bool>("--create-database") { Description = "Create the database first, when the server does not have it." };
        var dryRun = new Option<bool>("--dry-run") { Description = "Say what would run, and change nothing." };
        string[] names = [.. Features.ReadSettings(ConfigurationSwitches.Nothing()).Features.Scopes().Select(scope => scope.Name)];
        var scopes = new Option<string[]>("--scopes")
        {
            Description = $"What the key may do: {string.Join(", ", names)}, or several of them.",
            AllowMultipleArgumentsPerToken = true,
            DefaultValueFactory = _ => [names[0]],
        };
        scopes.AcceptOnlyFromAmong(names);

        var root = new RootCommand(
            """
            Asks people for approvals: a self-hosted service that speaks the Operations API of PingOne Recognize.

            Settings are read from appsettings.json, environment variables, mounted folders and switches such as
            --urls http://localhost:9090 or --Recognize:Storage:Engine=PostgreSql, which every command takes. Without a
            command the service starts.
            """)
        {
            Command("serve", "Serve the API. The default.", _ => ServiceHost.ServeAsync(configuration)),
            Command(
                "apply-schema",
                "Bring the database's schema up to date.",
                parsed => SchemaCommands.ApplyAsync(configuration, parsed.GetValue(createDatabase), parsed.GetValue(dryRun)),
                createDatabase,
                dryRun),
            Command("schema-status", "Say which schema the database has, and whether this program can work with it. Exit code 1: it cannot.", _ => SchemaCommands.ShowStatusAsync(configuration)),
            Command("new-key", "Make an API key, show it once, and the settings that hold its hash. Stores nothing.", parsed => KeyCommand.RunAsync(parsed.GetValue(scopes)!), scopes),
            Command("print-config", "Show every setting that is in force and where it comes from, without secrets.", _ => ConfigurationCommand.RunAsync(configuration)),
            Command("health", "Ask the service on this machine whether it is ready. Exit code 1: it is not.", _ => HealthAsync(configuration)),
        };
        root.SetAction((_, _) => ServiceHost.ServeAsync(configuration));
        return root;
    }

    private static Command Command(string name, string description, Func<ParseResult, Task<int>> run, params Option[] options)
    {
        var command = new Command(name, description);
        foreach (var option in options)
        {
            command.Options.Add(option);
        }

        command.SetAction((parsed, _) => run(parsed));
        return command;
    }

    // Errors that were made in other settings since the service started do not make it unhealthy.
    private static async Task<int> HealthAsync(string[] configuration)
    {
        var builder = ServiceHost.NewBuilder(configuration);
        var reader = new SettingsReader(builder.Configuration, builder.Environment.ContentRootPath);
        var management = ManagementSettings.Read(reader);
        StartRefusedException.ThrowIfAny(reader.Errors);
        return await Management.AskReadyAsync(management.Urls[0]) ? Done : Failed;
    }
}
