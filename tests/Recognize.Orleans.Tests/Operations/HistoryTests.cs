using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Xunit;

namespace Recognize.Orleans.Operations;

[Collection("SQLite")]
public sealed class HistoryOnSqlite(SqliteService fixture) : HistoryTests(fixture);

[Collection("PostgreSQL")]
public sealed class HistoryOnPostgreSql(PostgreSqlService fixture) : HistoryTests(fixture);

[Collection("SQL Server")]
public sealed class HistoryOnSqlServer(SqlServerService fixture) : HistoryTests(fixture);

public abstract class HistoryTests(ServiceFixture fixture)
{
    private readonly string user = ApiClient.NewUser();

    [SkippableFact]
    public async Task Pages_follow_their_cursors_to_the_last_which_has_none()
    {
        var api = fixture.Service.Acme;
        string[] ids = [ApiClient.NewId(), ApiClient.NewId(), ApiClient.NewId()];
        await api.CreateInOrderAsync(user, ids, "payload");

        (await api.DecideAsync(ids[1], user)).ShouldBeSuccess();
        var first = (await ListAsync("?limit=2")).ShouldBe(200).Json;
        var last = (await ListAsync($"?limit=2&cursor={first.GetProperty("cursor").GetString()}")).ShouldBe(200).Json;

        Assert.Equal([ids[2], ids[1]], first.GetProperty("operations").EnumerateArray().Select(operation => operation.GetProperty("operationId").GetString()));
        Assert.Equal((await api.ReadAsync(ids[1])).Body, first.GetProperty("operations")[1].GetRawText());
        Assert.Equal(ids[0], Assert.Single(last.GetProperty("operations").EnumerateArray()).GetProperty("operationId").GetString());
        Assert.False(last.TryGetProperty("cursor", out _));
        Assert.Equal(ids[1], Assert.Single((await ListAsync("?status=approved")).Json.GetProperty("operations").EnumerateArray()).GetProperty("operationId").GetString());
    }

    [SkippableFact]
    public async Task A_user_whom_nobody_asked_anything_has_an_empty_history() =>
        Assert.Equal("""{"operations":[]}""", (await ListAsync("")).ShouldBe(200).Body);

    [SkippableFact]
    public async Task Another_customers_user_of_the_same_id_has_a_history_of_its_own()
    {
        (await fixture.Service.Acme.CreateAsync(user, ApiClient.NewId())).ShouldBeSuccess();

        var globex = new ApiClient(fixture.Service.Api, TestCustomers.GlobexBoth);

        Assert.Equal("""{"operations":[]}""", (await globex.GetAsync($"/v2/users/{user}/operations")).ShouldBe(200).Body);
    }

    [SkippableTheory]
    [InlineData("?limit=0", "limit")]
    [InlineData("?limit=101", "limit")]
    [InlineData("?limit=", "limit")]
    [InlineData("?limit=1.0", "limit")]
    [InlineData("?limit=1&limit=2", "limit")]
    [InlineData("?cursor=", "cursor")]
    [InlineData("?cursor=nonsense", "cursor")]
    [InlineData("?cursor=%FF", "cursor")]
    [InlineData("?cursor=a&cursor=b", "cursor")]
    [InlineData("?status=lost", "status")]
    [InlineData("?status=Pending", "status")]
    [InlineData("?status=", "status")]
    [InlineData("?status=pending&status=denied", "status")]
    public async Task A_query_that_breaks_a_rule_is_400_and_names_the_member(string query, string named) =>
        (await ListAsync(query)).ShouldBe(Problem.InvalidRequest, named);

    private Task<Answer> ListAsync(string query) => fixture.Service.Acme.GetAsync($"/v2/users/{user}/operations{query}");
}
