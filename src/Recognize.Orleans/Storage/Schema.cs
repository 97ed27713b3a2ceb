using System.Data.Common;
using System.Globalization;
using DbUp.Engine;
using DbUp.Helpers;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

/// <summary>
/// The tables, queries and view in <c>sql/</c>, applied to a database by the program. The scripts record their version
/// themselves (table RecognizeSchema), so a script that is run by hand counts like one that is run here.
/// </summary>
internal static class Schema
{
    /// <summary>
    /// The schema version that this program is written for: the one that the last script in <c>sql/</c> leads to.
    /// </summary>
    public const int Version = 6;

    // The version that the first script creates. Each later script adds one. No release had an older version.
    private const int FirstVersion = 6;

    /// <summary>How long a script, or a wait for one, may take. A script may rebuild an index over all rows.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(30);

    /// <summary>
    /// Runs the scripts that the database does not have yet. It is harmless to repeat this, to run it in several
    /// processes at once, or to run it on a newer database.
    /// </summary>
    /// <exception cref="InvalidOperationException">
    /// The database is older than the first script, or a script failed; the database is as it was before that script.
    /// </exception>
    public static async Task<SchemaUpgrade> ApplyAsync(Database database, CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        await ExecuteAsync(connection, database.LockSchemaText, cancellationToken);
        var applied = false;
        try
        {
            var (version, _) = await ReadAsync(database, connection, cancellationToken);
            if (version is > 0 and < FirstVersion)
            {
                throw new InvalidOperationException(BeforeFirstRelease(version));
            }

            var missing = Missing(database.Engine, version).ToArray();
            if (missing.Length > 0)
            {
                // DbUp, which runs the scripts, has no asynchronous calls.
                await Task.Run(() => Run(database, connection, missing), CancellationToken.None);
            }

            var (now, _) = await ReadAsync(database, connection, cancellationToken);
            applied = true;
            return new(version, [.. missing.Select(script => script.Name)], now);
        }
        finally
        {
            await ExecuteAsync(connection, database.UnlockSchemaText(applied), CancellationToken.None);
        }
    }

    /// <summary>
    /// Creates the database itself if the server does not have it. If the database exists, the right to connect to it
    /// is enough. SQLite creates its file on first use.
    /// </summary>
    /// <returns>Whether this call created it.</returns>
    public static async Task<bool> CreateDatabaseAsync(Database database)
    {
        if (await database.ExistsAsync())
        {
            return false;
        }

        try
        {
            await Task.Run(database.CreateOnServer);
            return true;
        }
        catch (DbException)
        {
            // Another process may have created it in between.
            if (!await database.ExistsAsync())
            {
                throw;
            }

            return false;
        }
    }

    /// <summary>The version of the database's schema; 0: it has none. Changes nothing.</summary>
    public static async Task<int> ReadVersionAsync(Database database, CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        return (await ReadAsync(database, connection, cancellationToken)).Version;
    }

    /// <summary>The names of the scripts that a database of this version does not have yet.</summary>
    /// <exception cref="InvalidOperationException">The version is older than the first script.</exception>
    public static IReadOnlyList<string> MissingScripts(StorageEngine engine, int version) => version is > 0 and < FirstVersion
        ? throw new InvalidOperationException(BeforeFirstRelease(version))
        : [.. Missing(engine, version).Select(script => script.Name)];

    /// <summary>
    /// Null if this program can work with the database, otherwise a sentence that tells an operator what to do.
    /// </summary>
    public static async Task<string?> CheckAsync(Database database, CancellationToken cancellationToken)
    {
        await using var connection = await database.DataSource.OpenConnectionAsync(cancellationToken);
        var (version, oldestCompatible) = await ReadAsync(database, connection, cancellationToken);
        return (version, oldestCompatible) switch
        {
            (0, _) => "The database has no schema of this service yet: run this program once with the command 'apply-schema', or apply the scripts in sql/ by hand, then start again.",
            ( < FirstVersion, _) => BeforeFirstRelease(version),
            _ when version < Version => $"The database has schema version {version} and this program needs version {Version}: run this program once with the command 'apply-schema', then start again.",
            (_, > Version) => $"The database has schema version {version}, which needs a program written for version {oldestCompatible} or later; this one is written for version {Version}: start a newer release.",
            _ => null,
        };
    }

    /// <summary>
    /// The embedded scripts of an engine, in the order of their numbers, and the schema version that each leads to.
    /// </summary>
    internal static IReadOnlyList<(int Version, SqlScript Script)> Scripts(StorageEngine engine)
    {
        var assembly = typeof(Schema).Assembly;
        var folder = $"sql/{engine}/";

        // The name of an embedded file has the path separators of the machine that built it.
        return
        [
            .. from resource in assembly.GetManifestResourceNames()
               let name = resource.Replace('\\', '/')
               where name.StartsWith(folder, StringComparison.OrdinalIgnoreCase)
               let number = int.Parse(name.AsSpan(folder.Length, 4), NumberStyles.None, CultureInfo.InvariantCulture)
               orderby number
               select (FirstVersion + number - 1, new SqlScript(name, TextOf(resource))),
        ];

        string TextOf(string resource)
        {
            using var reader = new StreamReader(assembly.GetManifestResourceStream(resource)!);
            return reader.ReadToEnd();
        }
    }

    private static IEnumerable<SqlScript> Missing(StorageEngine engine, int version) => Scripts(engine).Where(script => script.Version > version).Select(script => script.Script);

    private static string BeforeFirstRelease(int version) =>
        $"The database has schema version {version}, from before the first release, and cannot be brought to version {Version}: export what you need and begin with an empty database.";

    private static void Run(Database database, DbConnection locked, SqlScript[] scripts)
    {
        var result = database.MigrationUnder(locked)
            .WithScripts(scripts)
            .JournalTo(new NullJournal())
            .WithVariablesDisabled()
            .WithExecutionTimeout(Patience)
            .LogToNowhere()
            .Build()
            .PerformUpgrade();
        if (!result.Successful)
        {
            throw new InvalidOperationException($"The script {result.ErrorScript?.Name} could not be applied: {result.Error.Message}", result.Error);
        }
    }

    private static async Task<(int Version, int OldestCompatible)> ReadAsync(Database database, DbConnection connection, CancellationToken cancellationToken)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = database.HasSchemaText;
        if (Convert.ToInt32(await command.ExecuteScalarAsync(cancellationToken), CultureInfo.InvariantCulture) == 0)
        {
            return (0, 0);
        }

        command.CommandText = "SELECT Version, OldestCompatible FROM RecognizeSchema";
        await using var reader = await command.ExecuteReaderAsync(cancellationToken);
        return await reader.ReadAsync(cancellationToken) ? (reader.GetInt32(0), reader.GetInt32(1)) : (0, 0);
    }

    private static async Task ExecuteAsync(DbConnection connection, string sql, CancellationToken cancellationToken)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.CommandTimeout = (int)Patience.TotalSeconds;
        await command.ExecuteNonQueryAsync(cancellationToken);
    }
}

/// <summary>The result of applying the schema.</summary>
/// <param name="Before">The version before; 0: no schema.</param>
/// <param name="Scripts">The names of the scripts that ran.</param>
/// <param name="After">The version after.</param>
internal sealed record SchemaUpgrade(int Before, IReadOnlyList<string> Scripts, int After);
