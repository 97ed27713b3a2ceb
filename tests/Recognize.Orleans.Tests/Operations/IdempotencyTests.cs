using System.Text;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection("SQLite")]
public sealed class IdempotencyOnSqlite(SqliteService fixture) : IdempotencyTests(fixture);

[Collection("PostgreSQL")]
public sealed class IdempotencyOnPostgreSql(PostgreSqlService fixture) : IdempotencyTests(fixture);

[Collection("SQL Server")]
public sealed class IdempotencyOnSqlServer(SqlServerService fixture) : IdempotencyTests(fixture);

public abstract class IdempotencyTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();
    private readonly string id = ApiClient.NewId();

    [SkippableFact]
    public async Task The_same_create_with_the_same_key_is_200_again_also_after_the_decision()
    {
        var api = fixture.Service.Acme;
        (await Create(api)).ShouldBeSuccess();
        var first = (await api.ReadAsync(id)).Body;

        (await Create(api)).ShouldBeSuccess();
        Assert.Equal(first, (await api.ReadAsync(id)).Body);
        Assert.Equal([id], await api.PendingIdsAsync(user));

        (await api.DecideAsync(id, user, authType: "biom")).ShouldBeSuccess();
        (await Create(api)).ShouldBeSuccess();
        Assert.Equal("approved", (await api.ReadAsync(id)).Json.GetProperty("state").GetString());
        Assert.Empty(await api.PendingIdsAsync(user));
    }

    [SkippableFact]
    public async Task The_same_key_with_other_content_is_409()
    {
        var api = fixture.Service.Acme;
        (await Create(api)).ShouldBeSuccess();

        (await api.CreateAsync(ApiClient.NewUser(), id, "payload", "someone", "biom", "key-1")).ShouldBe(OperationProblems.IdempotencyKeyReused, "Idempotency-Key");
        (await api.CreateAsync(user, id, "payload ", "someone", "biom", "key-1")).ShouldBe(OperationProblems.IdempotencyKeyReused);
        (await api.CreateAsync(user, id, null, "someone", "biom", "key-1")).ShouldBe(OperationProblems.IdempotencyKeyReused);
        (await api.CreateAsync(user, id, "payload", "Someone", "biom", "key-1")).ShouldBe(OperationProblems.IdempotencyKeyReused);
        (await api.CreateAsync(user, id, "payload", "someone", "pin", "key-1")).ShouldBe(OperationProblems.IdempotencyKeyReused);
        (await api.CreateAsync(user, id, "payload", "someone", null, "key-1")).ShouldBe(OperationProblems.IdempotencyKeyReused);
    }

    [SkippableFact]
    public async Task Another_key_or_none_is_a_duplicate()
    {
        var api = fixture.Service.Acme;
        (await Create(api)).ShouldBeSuccess();

        (await api.CreateAsync(user, id, "payload", "someone", "biom", "key-2")).ShouldBe(OperationProblems.Exists);
        (await api.CreateAsync(user, id, "payload", "someone", "biom", "KEY-1")).ShouldBe(OperationProblems.Exists);
        (await api.CreateAsync(user, id, "payload", "someone", "biom")).ShouldBe(OperationProblems.Exists);
    }

    [SkippableFact]
    public async Task A_create_without_a_key_cannot_be_repeated_with_one()
    {
        var api = fixture.Service.Acme;
        (await api.CreateAsync(user, id)).ShouldBeSuccess();

        (await api.CreateAsync(user, id, idempotencyKey: "key-1")).ShouldBe(OperationProblems.Exists);
    }

    [SkippableFact]
    public async Task A_key_belongs_to_its_operation()
    {
        var api = fixture.Service.Acme;

        (await api.CreateAsync(user, id, idempotencyKey: "key-1")).ShouldBeSuccess();
        (await api.CreateAsync(user, $"{id}-2", "other content", idempotencyKey: "key-1")).ShouldBeSuccess();
    }

    [SkippableFact]
    public async Task Another_customer_may_use_the_same_id_and_key()
    {
        (await Create(fixture.Service.Acme)).ShouldBeSuccess();

        (await new ApiClient(fixture.Service.Api, TestCustomers.GlobexBoth).CreateAsync(user, id, "other", idempotencyKey: "key-1")).ShouldBeSuccess();
    }

    [SkippableFact]
    public async Task A_key_that_met_the_pending_limit_is_free_again()
    {
        var api = fixture.Service.Acme;
        var ids = Enumerable.Range(0, TestService.PendingLimit).Select(n => $"{id}-{n}").ToList();
        await api.CreateInOrderAsync(user, ids);

        (await Create(api)).ShouldBe(OperationProblems.PendingLimitReached);
        (await api.DecideAsync(ids[0], user)).ShouldBeSuccess();
        (await Create(api)).ShouldBeSuccess();
    }

    [SkippableTheory]
    [InlineData("k")]
    [InlineData("!\"#,;=~")]
    [InlineData("255 characters")]
    public async Task A_key_is_visible_ascii(string key)
    {
        var api = fixture.Service.Acme;
        key = key is "255 characters" ? new string('k', 255) : key;

        (await api.CreateAsync(user, Body(), ("Idempotency-Key", key))).ShouldBeSuccess();
        (await api.CreateAsync(user, Body(), ("Idempotency-Key", key))).ShouldBeSuccess();
    }

    [SkippableTheory]
    [InlineData("")]
    [InlineData("two words")]
    [InlineData("caf\u00E9")]
    [InlineData("256 characters")]
    public async Task Any_other_key_is_400_and_nothing_happens(string key)
    {
        var api = fixture.Service.Acme;
        key = key is "256 characters" ? new string('k', 256) : key;

        (await api.CreateAsync(user, Body(), ("Idempotency-Key", key))).ShouldBe(Problem.InvalidRequest, "Idempotency-Key");

        (await api.ReadAsync(id)).ShouldBe(OperationProblems.NotFound);
    }

    [SkippableFact]
    public async Task A_key_that_is_sent_twice_is_400() =>
        (await fixture.Service.Acme.CreateAsync(user, Body(), ("Idempotency-Key", "a"), ("Idempotency-Key", "a"))).ShouldBe(Problem.InvalidRequest, "Idempotency-Key");

    private Task<Answer> Create(ApiClient api) => api.CreateAsync(user, id, "payload", "someone", "biom", "key-1");

    private byte[] Body() => Encoding.UTF8.GetBytes(ApiClient.Object(("operationId", id)));
}
