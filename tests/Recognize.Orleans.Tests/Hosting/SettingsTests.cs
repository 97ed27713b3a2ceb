using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Api;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;
using Xunit;

namespace Recognize.Orleans.Hosting;

public sealed class SettingsTests
{
    [Fact]
    public void Without_any_setting_everything_has_a_default_that_stays_on_this_machine()
    {
        var settings = Read(out var faults);

        Assert.Empty(faults);
        Assert.Equal(StorageEngine.Sqlite, settings.Storage.Engine);
        Assert.Equal($"Data Source={Path.GetFullPath("/srv/recognize.db")}", settings.Storage.ConnectionString);
        Assert.True(settings.Storage.ApplySchema);
        Assert.Equal("http://localhost:8080", Assert.Single(settings.ApiUrls).ToString());
        Assert.Equal("http://localhost:8081", Assert.Single(settings.Management.Urls).ToString());
        Assert.True(settings.Management.ServesDashboard);
        Assert.Equal(System.Net.IPAddress.Loopback, settings.Silo.AdvertisedAddress);
        Assert.Equal(0, settings.Silo.GatewayPort);
        Assert.Equal(System.Net.Dns.GetHostName(), settings.Silo.Name);
        Assert.Equal(1_000, settings.Operations.PendingLimit);
        Assert.Null(settings.Operations.Lifetime);
        Assert.Null(settings.Operations.Retention);
        Assert.Equal(new CallSettings { PerCustomer = 256, PerSecond = null }, settings.Calls);
        Assert.Equal((10_000, 20_000), (settings.Waits.PerCustomer, settings.Waits.PerProcess));
        Assert.True(settings.IsLocalOnly);
    }

    [Fact]
    public void A_server_is_not_given_a_schema_unless_that_is_asked_for() =>
        Assert.False(Read(out _, ("Recognize:Storage:Engine", "PostgreSql"), ("ConnectionStrings:Recognize", "Host=db;Database=recognize")).Storage.ApplySchema);

    [Theory]
    [InlineData("Sqlite", "Data Source=recognize.db")]
    [InlineData("PostgreSql", "Host=db;Database=recognize")]
    [InlineData("SqlServer", "Server=db;Database=recognize")]
    public void Writes_share_a_transaction_unless_asked_not_to(string engine, string connectionString)
    {
        (string, string)[] database = [("Recognize:Storage:Engine", engine), ("ConnectionStrings:Recognize", connectionString)];

        Assert.True(Read(out var faults, database).Storage.GroupCommit);
        Assert.Empty(faults);
        Assert.True(Read(out _, [.. database, ("Recognize:Storage:GroupCommit", "true")]).Storage.GroupCommit);
        Assert.False(Read(out _, [.. database, ("Recognize:Storage:GroupCommit", "false")]).Storage.GroupCommit);
    }

    [Theory]
    [InlineData("Recognize:Storage:Engine", "Oracle", "one of Sqlite, SqlServer, PostgreSql")]
    [InlineData("Recognize:Storage:Engine", "1", "one of Sqlite, SqlServer, PostgreSql")]
    [InlineData("Recognize:Storage:ApplySchema", "yes", "'true' or 'false'")]
    [InlineData("Recognize:Storage:GroupCommit", "yes", "'true' or 'false'")]
    [InlineData("Recognize:Silo:Port", "0", "from 1 to 65535")]
    [InlineData("Recognize:Silo:Port", "65536", "from 1 to 65535")]
    [InlineData("Recognize:Silo:Port", "port", "from 1 to 65535")]
    [InlineData("Recognize:Silo:GatewayPort", "-1", "from 0 to 65535")]
    [InlineData("Recognize:Silo:GatewayPort", "11111", "must not share a port; both have 11111")]
    [InlineData("Recognize:Silo:AdvertisedAddress", "no.such.host.invalid", "does not")]
    [InlineData("Recognize:Silo:AdvertisedAddress", "0.0.0.0", "must be the address by which other silos reach this one")]
    [InlineData("Recognize:Silo:Name", "two words", "visible ASCII")]
    [InlineData("Recognize:Silo:DrainDelay", "5", "hh:mm:ss")]
    [InlineData("Recognize:Silo:DrainDelay", "00:05:01", "hh:mm:ss")]
    [InlineData("Recognize:Silo:DrainDelay", "-00:00:01", "hh:mm:ss")]
    [InlineData("Recognize:Cluster:ClusterId", "two words", "visible ASCII")]
    [InlineData("Recognize:Cluster:ServiceId", "caf\u00E9", "visible ASCII")]
    [InlineData("Recognize:Management:Port", "0", "from 1 to 65535")]
    [InlineData("Recognize:Management:Password", "elevenchars", "at least 12 characters")]
    [InlineData("Recognize:Management:Urls", "localhost", "URLs like")]
    [InlineData("Recognize:Management:Urls", "http://localhost:0", "a port other than 0")]
    [InlineData("Recognize:Management:Urls", "http://localhost:8080", "must not share a port; both have 8080")]
    [InlineData("Recognize:Management:Urls", ";", "must hold at least one URL")]
    [InlineData("urls", "http://localhost:99999", "must be URLs like")]
    [InlineData("urls", "http://localhost:808O", "must be URLs like")]
    [InlineData("Recognize:Silo:Port", "8080", "must not share a port; both have 8080")]
    [InlineData("Recognize:Management:Port", "8080", "must not share a port; both have 8080")]
    [InlineData("Recognize:Operations:PendingLimit", "0", "from 1 to 1000")]
    [InlineData("Recognize:Operations:PendingLimit", "1,000", "from 1 to 1000")]
    [InlineData("Recognize:Operations:PendingLimit", "1001", "from 1 to 1000")]
    [InlineData("Recognize:Operations:PendingBytes", "102399", "from 102400 to 1048576")]
    [InlineData("Recognize:Operations:PendingBytes", "1048577", "from 102400 to 1048576")]
    [InlineData("Recognize:Operations:Lifetime", "00:00:04.9999999", "from 00:00:05 to 1.00:00:00")]
    [InlineData("Recognize:Operations:Lifetime", "1.00:00:00.0000001", "from 00:00:05 to 1.00:00:00")]
    [InlineData("Recognize:Operations:Lifetime", "-00:05:00", "from 00:00:05 to 1.00:00:00")]
    [InlineData("Recognize:Operations:Lifetime", "300", "written [d.]hh:mm:ss")]
    [InlineData("Recognize:Operations:Lifetime", "5m", "written [d.]hh:mm:ss")]
    [InlineData("Recognize:Operations:Retention", "00:59:59", "from 01:00:00")]
    [InlineData("Recognize:Operations:Retention", "36501", "written [d.]hh:mm:ss")]
    [InlineData("Recognize:Operations:Retention", "never", "written [d.]hh:mm:ss")]
    [InlineData("Recognize:Operations:TombstoneRetention", "365.00:00:00", "says nothing without Recognize:Operations:Retention")]
    [InlineData("Recognize:Calls:PerCustomer", "0", "from 1 to 100000")]
    [InlineData("Recognize:Calls:PerCustomer", "100001", "from 1 to 100000")]
    [InlineData("Recognize:Calls:PerSecond", "0", "from 1 to 1000000")]
    [InlineData("Recognize:Calls:PerSecond", "1000001", "from 1 to 1000000")]
    [InlineData("Recognize:Calls:PerSecond", "none", "from 1 to 1000000")]
    [InlineData("Recognize:Waits:PerProcess", "1", "from 2 to 1000000")]
    [InlineData("Recognize:Waits:PerCustomer", "0", "from 1 to 1000000")]
    [InlineData("Recognize:Waits:PerCustomer", "10001", "must be at most 10000, which is half of Recognize:Waits:PerProcess, so that one customer can never take all of them")]
    [InlineData("Recognize:Operations:PendingLimt", "5", "is not a setting of this service")]
    [InlineData("Recognize:Storage", "Sqlite", "is not a setting of this service")]
    [InlineData("Recognize:Silo:Port:0", "11111", "is not a setting of this service")]
    [InlineData("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317", "must be a URL like http://localhost:4317")]
    [InlineData("OTEL_TRACES_SAMPLER", "sometimes", "must be one of always_on, always_off")]
    [InlineData("OTEL_TRACES_SAMPLER_ARG", "1.5", "must be a number from 0 to 1")]
    [InlineData("urls", "ftp://localhost", "URLs like")]
    [InlineData("urls", "http://localhost/base", "URLs like")]
    [InlineData("urls", "http://unix:/tmp/socket", "URLs like")]
    [InlineData("ConnectionStrings:Recognize", "Data Source=:memory:", "in memory")]
    [InlineData("ConnectionStrings:Recognize", "Passwort=secret", "is not a connection string for Sqlite")]
    [InlineData("Kestrel:Endpoints:Http:Url", "http://localhost:5000", "is not supported")]
    public void A_fault_names_its_setting_and_its_rule(string key, string value, string rule)
    {
        Read(out var faults, (key, value));

        var fault = Assert.Single(faults);
        Assert.Contains(rule, fault, StringComparison.Ordinal);
        Assert.Contains(key.Split(':')[0] is "Kestrel" ? "Kestrel:Endpoints" : key.Replace("Management:Port", "Management", StringComparison.Ordinal), fault, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", fault, StringComparison.Ordinal);
    }

    [Fact]
    public void Servers_need_a_connection_string()
    {
        Read(out var faults, ("Recognize:Storage:Engine", "SqlServer"));

        Assert.Contains("ConnectionStrings:Recognize is required when Recognize:Storage:Engine is SqlServer", Assert.Single(faults), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("00:00:05", 5)]
    [InlineData("00:05:00", 300)]
    [InlineData("1.00:00:00", 86_400)]
    public void A_lifetime_is_as_long_as_a_create_may_ask_for(string lifetime, int seconds)
    {
        Assert.Equal(TimeSpan.FromSeconds(seconds), Read(out var faults, ("Recognize:Operations:Lifetime", lifetime)).Operations.Lifetime);
        Assert.Empty(faults);
    }

    [Theory]
    [InlineData("30.00:00:00", null, 30, 365)]
    [InlineData("400.00:00:00", null, 400, 400)]
    [InlineData("30.00:00:00", "30.00:00:00", 30, 30)]
    [InlineData("30.00:00:00", "3650.00:00:00", 30, 3_650)]
    public void A_tombstone_stays_for_a_year_or_as_long_as_operations_unless_something_else_is_said(string retention, string? tombstones, int days, int tombstoneDays)
    {
        var settings = Read(out var faults, ("Recognize:Operations:Retention", retention), ("Recognize:Operations:TombstoneRetention", tombstones ?? ""));

        Assert.Empty(faults);
        Assert.Equal(new RetentionSettings(TimeSpan.FromDays(days), TimeSpan.FromDays(tombstoneDays)), settings.Operations.Retention);
    }

    [Fact]
    public void A_tombstone_does_not_go_before_the_operation_would_have()
    {
        Read(out var faults, ("Recognize:Operations:Retention", "30.00:00:00"), ("Recognize:Operations:TombstoneRetention", "29.23:59:59"));

        Assert.Equal("Recognize:Operations:TombstoneRetention must not be shorter than Recognize:Operations:Retention.", Assert.Single(faults));
    }

    [Fact]
    public void Calls_of_a_customer_are_limited_as_it_is_set()
    {
        var settings = Read(out var faults, ("Recognize:Calls:PerCustomer", "100000"), ("Recognize:Calls:PerSecond", "1000000"));

        Assert.Empty(faults);
        Assert.Equal(new CallSettings { PerCustomer = 100_000, PerSecond = 1_000_000 }, settings.Calls);
    }

    [Theory]
    [InlineData(2, null, 1)]
    [InlineData(3, null, 1)]
    [InlineData(1_000_000, null, 500_000)]
    [InlineData(3, 1, 1)]
    [InlineData(4, 2, 2)]
    [InlineData(40_000, 10_000, 10_000)]
    public void A_customer_may_take_half_of_the_places_to_wait_unless_fewer_are_asked_for(int perProcess, int? asked, int perCustomer)
    {
        var settings = Read(out var faults, ("Recognize:Waits:PerProcess", $"{perProcess}"), ("Recognize:Waits:PerCustomer", $"{asked}"));

        Assert.Empty(faults);
        Assert.Equal((perCustomer, perProcess), (settings.Waits.PerCustomer, settings.Waits.PerProcess));
    }

    [Theory]
    [InlineData(2, 2)]
    [InlineData(3, 2)]
    [InlineData(20_000, 20_000)]
    public void A_customer_that_could_take_more_than_half_of_the_places_to_wait_stops_the_start(int perProcess, int perCustomer)
    {
        Read(out var faults, ("Recognize:Waits:PerProcess", $"{perProcess}"), ("Recognize:Waits:PerCustomer", $"{perCustomer}"));

        Assert.Contains("half of Recognize:Waits:PerProcess", Assert.Single(faults), StringComparison.Ordinal);
    }

    [Fact]
    public void All_faults_are_told_at_once()
    {
        Read(
            out var faults,
            ("Recognize:Storage:Engine", "x"),
            ("Recognize:Silo:Port", "x"),
            ("Recognize:Operations:PendingLimit", "x"),
            ("Recognize:Calls:PerCustomer", "x"),
            ("Recognize:Calls:PerSecond", "x"),
            ("Recognize:Waits:PerCustomer", "10001"),
            ("Recognize:Unknown", "x"),
            ("urls", "x"));

        Assert.Equal(8, faults.Count);
    }

    [Fact]
    public void An_empty_setting_is_an_absent_one()
    {
        var settings = Read(out var faults, ("Recognize:Silo:Port", ""), ("Recognize:Management:Password", " "));

        Assert.Empty(faults);
        Assert.Equal(11_111, settings.Silo.Port);
        Assert.Null(settings.Management.Password);
    }

    [Theory]
    [InlineData("http://127.0.0.1:8080", true)]
    [InlineData("http://[::1]:8080", true)]
    [InlineData("http://LOCALHOST:8080;http://127.1.2.3:8082", true)]
    [InlineData("http://*:8080", false)]
    [InlineData("http://0.0.0.0:8080", false)]
    [InlineData("http://localhost:8080;http://10.0.0.1:8080", false)]
    [InlineData("http://localhost.example:8080", false)]
    public void One_url_that_other_machines_reach_is_enough_not_to_be_local(string urls, bool isLocal)
    {
        Assert.Equal(isLocal, Read(out _, ("urls", urls)).IsLocalOnly);
        Assert.Equal(isLocal, Read(out _, ("urls", "http://localhost:1"), ("Recognize:Management:Urls", urls)).IsLocalOnly);
    }

    [Fact]
    public void The_ports_of_a_container_image_are_urls_on_every_address()
    {
        Assert.Equal("http://*:5000", Assert.Single(Read(out _, ("http_ports", "5000")).ApiUrls).ToString());
        Assert.Equal("http://localhost:1", Assert.Single(Read(out _, ("http_ports", "5000"), ("urls", "http://localhost:1")).ApiUrls).ToString());
    }

    [Fact]
    public void The_dashboard_is_served_to_other_machines_with_a_password_only()
    {
        (string, string) everywhere = ("Recognize:Management:Urls", "http://*:8081");

        Assert.False(Read(out _, everywhere).Management.ServesDashboard);
        Assert.True(Read(out _, everywhere, ("Recognize:Management:Password", "a long enough one")).Management.ServesDashboard);
    }

    private static TestSettings Read(out List<string> faults, params (string Key, string Value)[] settings)
    {
        faults = [];
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value)))
            .Build();
        return TestSettings.Read(configuration, "/srv", faults);
    }
}
