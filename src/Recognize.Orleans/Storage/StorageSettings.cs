using Microsoft.Data.Sqlite;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Storage;

internal sealed record StorageSettings
{
    public required StorageEngine Engine { get; init; }

    public required string ConnectionString { get; init; }

    public required bool ApplySchema { get; init; }

    /// <summary>
    /// Whether waiting writes share a transaction. If not, Orleans' own ADO.NET provider writes each one separately.
    /// </summary>
    public required bool GroupCommit { get; init; }

    public static StorageSettings Read(SettingsReader reader)
    {
        var engine = reader.Choice("Recognize:Storage:Engine", StorageEngine.Sqlite);
        return new()
        {
            Engine = engine,
            ConnectionString = ReadConnectionString(reader, engine),
            ApplySchema = reader.Flag("Recognize:Storage:ApplySchema", engine is StorageEngine.Sqlite),
            GroupCommit = reader.Flag("Recognize:Storage:GroupCommit", true),
        };
    }

    private static string ReadConnectionString(SettingsReader reader, StorageEngine engine)
    {
        var text = reader.Text("ConnectionStrings:Recognize", engine is StorageEngine.Sqlite ? "Data Source=recognize.db" : null);
        if (text is null)
        {
            if (engine is not StorageEngine.Sqlite)
            {
                reader.AddError($"ConnectionStrings:Recognize is required when Recognize:Storage:Engine is {engine}.");
                return "";
            }

            text = "Data Source=recognize.db";
        }

        if (ConnectionStrings.ErrorIn(engine, text) is { } error)
        {
            reader.AddError($"ConnectionStrings:Recognize {error}");
            return "";
        }

        return engine is StorageEngine.Sqlite ? Rooted(text, reader.ContentRoot) : text;
    }

    // A relative path starts at the settings files, not at the folder that the service happens to be started from.
    private static string Rooted(string connectionString, string contentRoot)
    {
        var builder = new SqliteConnectionStringBuilder(connectionString);
        builder.DataSource = Path.GetFullPath(builder.DataSource, contentRoot);
        return builder.ToString();
    }
}
