using Npgsql;

namespace Recognize.Orleans.Fixtures;

/// <summary>A login of a PostgreSQL server that has the rights on one database's tables which the documentation asks for, and no others.</summary>
internal sealed class LimitedLogin : IAsyncDisposable
{
    private readonly TestDatabase database;

    private LimitedLogin(TestDatabase database) => this.database = database;

    public string Name { get; } = $"recognize_test_{Guid.NewGuid():N}";

    public string ConnectionString => new NpgsqlConnectionStringBuilder(database.ConnectionString) { Username = Name, Password = Name }.ConnectionString;

    public static async Task<LimitedLogin> CreateAsync(TestDatabase database)
    {
        var login = new LimitedLogin(database);
        await database.ExecuteAsync($"""
            CREATE ROLE {login.Name} LOGIN PASSWORD '{login.Name}';
            GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {login.Name};
            """);
        return login;
    }

    public async ValueTask DisposeAsync() => await database.ExecuteAsync($"DROP OWNED BY {Name}; DROP ROLE {Name};");
}
