using System.Text.Json;
using System.Text.RegularExpressions;
using Recognize.Orleans.Documents;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.Deployment;

/// <summary>Board and alerts ask for what the service tells.</summary>
public sealed partial class PrometheusTests(ITestOutputHelper output)
{
    private static readonly string[] ThreeNodes = ["node-1", "node-2", "node-3"];

    private static readonly string Rules = File.ReadAllText(Repository.PathOf("deploy/prometheus/recognize.rules.yml"));

    [SkippableTheory]
    [InlineData("recognize.rules.yml", "check", "rules")]
    [InlineData("prometheus.yml", "check", "config")]
    [InlineData("recognize.rules.test.yml", "test", "rules")]
    public async Task The_files_are_valid_and_each_alert_fires_as_its_test_says(string file, params string[] command)
    {
        var (exit, said) = await Prometheus.CheckAsync(file, command);

        Assert.True(exit == 0, said);
    }

    [Fact]
    public void Every_alert_is_fired_by_a_test_and_has_a_line_that_says_what_to_do()
    {
        var alerts = Alert().Matches(Rules).Select(match => match.Groups[1].Value).ToList();
        var fired = Fired().Matches(File.ReadAllText(Repository.PathOf("deploy/prometheus/recognize.rules.test.yml"))).Select(match => match.Groups[1].Value);
        var documented = Repository.Read("docs/operations.md").RowsUnder("Dashboards and alerts").SelectMany(row => row[0].Split(", "));

        Assert.Equal(alerts.Order(), fired.Distinct().Order());
        Assert.Equal(alerts.Order(), documented.Order());
    }

    [SkippableFact]
    public async Task Every_query_of_the_board_and_every_metric_of_the_alerts_is_found_while_three_silos_are_under_load()
    {
        await using var database = await TestDatabase.CreateAsync(StorageEngine.PostgreSql);
        var services = await ServiceProcess.StartAsync(database, ThreeNodes, ("Recognize:Operations:Retention", "01:00:00"));
        await using var one = services[0];
        await using var two = services[1];
        await using var three = services[2];
        await using var prometheus = await Prometheus.StartAsync(services.Select(service => service.Management.BaseAddress!));
        using var end = new CancellationTokenSource();
        var load = Load.Start(3, (client, count) => JourneyAsync(new(services[client].ApiUrl, ServiceProcess.Key), $"{client}-{count}"), end.Token);

        var queries = Queries().Concat(Metric().Matches(Rules).Select(match => $$"""{{match.Value}}{job="recognize"}""")).Distinct().ToList();
        var found = await Task.WhenAll(queries.Select(async query => (Query: query, Series: await prometheus.SeriesAsync(query))));
        await end.CancelAsync();
        await Task.WhenAll(load);

        output.WriteLine(string.Join('\n', found.Select(one => $"{one.Series} series: {one.Query}")));
        Assert.All(found, one => Assert.True(one.Series > 0, one.Query));
        Assert.Equal(ThreeNodes.Length, await prometheus.SeriesAsync("""up{job="recognize"} == 1""", enough: ThreeNodes.Length));
    }

    private static async Task JourneyAsync(ApiClient api, string id)
    {
        var user = ApiClient.NewUser();
        (await api.CreateAsync(user, id)).ShouldBeSuccess();
        (await api.ListAsync(user)).ShouldBe(200);
        (await api.DecideAsync(id, user)).ShouldBeSuccess();
        (await api.ReadAsync(id)).ShouldBe(200);
        (await api.ReadAsync($"{id}-not")).ShouldBe(404);
    }

    // What Grafana puts in place of its variables.
    private static IEnumerable<string> Queries()
    {
        using var board = JsonDocument.Parse(File.ReadAllText(Repository.PathOf("deploy/grafana/recognize.json")));
        return
        [
            .. board.RootElement.GetProperty("panels").EnumerateArray()
                .Where(panel => panel.TryGetProperty("targets", out _))
                .SelectMany(panel => panel.GetProperty("targets").EnumerateArray())
                .Select(target => target.GetProperty("expr").GetString()!.Replace("$job", "recognize", StringComparison.Ordinal).Replace("$__rate_interval", "10s", StringComparison.Ordinal)),
        ];
    }

    [GeneratedRegex(@"- alert: (\w+)")]
    private static partial Regex Alert();

    [GeneratedRegex(@"alertname: (\w+)")]
    private static partial Regex Fired();

    [GeneratedRegex(@"\b(up|recognize_\w+)(?=\{)")]
    private static partial Regex Metric();
}
