using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Recognize.Orleans.Storage.Sqlite;

namespace Recognize.Orleans.Hosting.CommandLine;

/// <summary>The commands <c>apply-schema</c> and <c>schema-status</c>.</summary>
internal static class SchemaCommands
{
    public static async Task<int> ApplyAsync(string[] configuration, bool createDatabase, bool dryRun)
    {
        var settings = ServiceHost.ReadSettings(configuration);
        try
        {
            await (dryRun ? ForetellAsync(settings.Storage, createDatabase) : ApplyAsync(settings.Storage, createDatabase));
            return Commands.Done;
        }
        catch (Exception exception) when (ServiceHost.IsOfTheDatabase(exception))
        {
            throw new StartRefusedException([$"The schema was not applied: {exception.GetBaseException().Message}"]);
        }
    }

    public static async Task<int> ShowStatusAsync(string[] configuration)
    {
        var storage = ServiceHost.ReadSettings(configuration).Storage;
        try
        {
            await using var database = Database.Create(storage.Engine, storage.ConnectionString);
            if (!await IsThereAsync(database, storage))
            {
                Console.WriteLine($"There is no {storage.Engine} database yet; this program is written for version {Schema.Version}.");
                return Commands.Failed;
            }

            var version = await Schema.ReadVersionAsync(database, CancellationToken.None);
            Console.WriteLine($"The {storage.Engine} database has {NameOf(version)}; this program is written for version {Schema.Version}.");
            if (await Schema.CheckAsync(database, CancellationToken.None) is { } error)
            {
                Console.WriteLine(error);
                return Commands.Failed;
            }

            Console.WriteLine("The service can work with it.");
            return Commands.Done;
        }
        catch (Exception exception) when (ServiceHost.IsOfTheDatabase(exception))
        {
            throw new StartRefusedException([$"The database of ConnectionStrings:Recognize cannot be used: {exception.GetBaseException().Message}"]);
        }
    }

    private static async Task ApplyAsync(StorageSettings storage, bool createDatabase)
    {
        await using var opened = OpenDatabase.Open(storage);
        var database = opened.Database;
        if (createDatabase && await Schema.CreateDatabaseAsync(database))
        {
            Console.WriteLine("The database was not there and has been created.");
        }

        await ServiceHost.RefuseUnfitServerAsync(database);
        var applied = await Schema.ApplyAsync(database, CancellationToken.None);
        Console.WriteLine($"The {storage.Engine} database had {NameOf(applied.Before)}.");
        foreach (var script in applied.Scripts)
        {
            Console.WriteLine($"Ran {script}.");
        }

        Console.WriteLine(applied.Scripts.Count == 0 ? "Nothing had to run." : $"It has {NameOf(applied.After)} now.");
    }

    private static async Task ForetellAsync(StorageSettings storage, bool createDatabase)
    {
        await using var database = Database.Create(storage.Engine, storage.ConnectionString);
        var isThere = await IsThereAsync(database, storage);
        if (!isThere && storage.Engine is not StorageEngine.Sqlite && !createDatabase)
        {
            throw new InvalidOperationException("the server does not have the database; --create-database would create it.");
        }

        var version = isThere ? await Schema.ReadVersionAsync(database, CancellationToken.None) : 0;
        Console.WriteLine(isThere ? $"The {storage.Engine} database has {NameOf(version)}." : $"There is no {storage.Engine} database yet; it would be created.");
        var scripts = Schema.MissingScripts(storage.Engine, version);
        foreach (var script in scripts)
        {
            Console.WriteLine($"Would run {script}.");
        }

        Console.WriteLine(scripts.Count == 0 ? "Nothing would have to run." : $"It would have {NameOf(Schema.Version)} then.");
    }

    // Opening a SQLite file that does not exist would create it.
    private static async Task<bool> IsThereAsync(Database database, StorageSettings storage) =>
        storage.Engine is StorageEngine.Sqlite ? File.Exists(SqliteDatabase.FileOf(storage.ConnectionString)) : await database.ExistsAsync();

    private static string NameOf(int version) => version == 0 ? "no schema of this service" : $"schema version {version}";
}
