using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Hosting;

public sealed class OutageAnswersOnSqlite() : OutageAnswerTests(StorageEngine.Sqlite);

public sealed class OutageAnswersOnPostgreSql() : OutageAnswerTests(StorageEngine.PostgreSql);

public sealed class OutageAnswersOnSqlServer() : OutageAnswerTests(StorageEngine.SqlServer);

public abstract class OutageAnswerTests
{
    private readonly StorageEngine engine;
    private readonly string user = ApiClient.NewUser();

    private protected OutageAnswerTests(StorageEngine engine) => this.engine = engine;

    [SkippableTheory]
    [InlineData("true")]
    [InlineData("false")]
    public async Task While_the_storage_fails_every_answer_is_503_and_nothing_acknowledged_is_lost(string groupCommit)
    {
        await using var database = await TestDatabase.CreateAsync(engine);
        await using (var before = await TestService.StartAsync(database))
        {
            (await before.Acme.CreateAsync(user, "before", "payload")).ShouldBeSuccess();
        }

        await using var service = await TestService.StartAsync(database, new() { ["Recognize:Storage:GroupCommit"] = groupCommit });
        await RenameAsync(database, "OrleansStorage", "Elsewhere");

        ShouldBeUnavailable(await service.Acme.CreateAsync(user, "during", idempotencyKey: "key-1"));
        ShouldBeUnavailable(await service.Acme.ReadAsync("before"));
        ShouldBeUnavailable(await service.Acme.ReadAsync("nobody's"));
        ShouldBeUnavailable(await service.Acme.DecideAsync("before", user));
        ShouldBeUnavailable(await service.Acme.ListAsync(user));
        await service.Logs.WaitForAsync(11);

        await RenameAsync(database, "Elsewhere", "OrleansStorage");

        Assert.Equal(["before"], await service.Acme.PendingIdsAsync(user));
        (await service.Acme.CreateAsync(user, "during", idempotencyKey: "key-1")).ShouldBeSuccess();
        (await service.Acme.CreateAsync(user, "during", idempotencyKey: "key-1")).ShouldBeSuccess();
        (await service.Acme.DecideAsync("before", user)).ShouldBeSuccess();
        Assert.Equal("approved", (await service.Acme.ReadAsync("before")).Json.GetProperty("state").GetString());
        Assert.Equal(["during"], await service.Acme.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task While_the_storage_takes_no_more_work_every_answer_is_503()
    {
        await using var service = await TestService.StartAsync(engine, new() { ["Recognize:Storage:GroupCommit"] = "true" });
        (await service.Acme.CreateAsync(user, "before")).ShouldBeSuccess();
        await ((GroupCommitStorage)service.Services.GetRequiredService<IGrainStorage>()).StopAsync(CancellationToken.None);
        await service.Services.GetRequiredService<RowReader>().StopAsync(CancellationToken.None);

        ShouldBeUnavailable(await service.Acme.CreateAsync(user, "during"));
        ShouldBeUnavailable(await service.Acme.ReadAsync("before"));
        ShouldBeUnavailable(await service.Acme.DecideAsync("before", user));
        ShouldBeUnavailable(await service.Acme.ListAsync(ApiClient.NewUser()));
    }

    private static void ShouldBeUnavailable(Answer answer)
    {
        answer.ShouldBe(Problem.Unavailable);
        Assert.Equal("1", answer["Retry-After"]);
        Assert.Contains("no-store", answer["Cache-Control"]);
        Assert.All(
            (string[])["OrleansStorage", "Sqlite", "Npgsql", "SqlClient", "table", "relation"],
            inside => Assert.DoesNotContain(inside, answer.Body, StringComparison.OrdinalIgnoreCase));
    }

    private static Task RenameAsync(TestDatabase database, string from, string to) => database.ExecuteAsync(
        database.Engine is StorageEngine.SqlServer ? $"EXEC sp_rename '{from}', '{to}', 'OBJECT'" : $"ALTER TABLE {from} RENAME TO {to}");
}
