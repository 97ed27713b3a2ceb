using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Processes;

/// <summary>What keeps the web server from listening is told in a sentence, by a process that ends.</summary>
public sealed class RefusedStartTests : IAsyncLifetime
{
    private const string Password = "of the certificate";
    private const string Path = "Kestrel:Certificates:Default:Path";
    private const string Https = "https://127.0.0.1:0";

    private readonly string folder = Directory.CreateTempSubdirectory("recognize-certificates-").FullName;
    private TestDatabase database = null!;

    public async Task InitializeAsync()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256).CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        await File.WriteAllBytesAsync(In("good.pfx"), certificate.Export(X509ContentType.Pfx, Password));
        await File.WriteAllTextAsync(In("certificate.pem"), certificate.ExportCertificatePem());
        await File.WriteAllTextAsync(In("text.pfx"), "no certificate");
        database = await TestDatabase.CreateAsync(StorageEngine.Sqlite);
    }

    public async Task DisposeAsync()
    {
        await database.DisposeAsync();
        Directory.Delete(folder, recursive: true);
    }

    // A developer's certificate in the home of whoever runs the tests would do.
    [Theory]
    [InlineData("Production")]
    [InlineData("Development")]
    public Task An_https_url_without_a_certificate_is_refused(string environment) =>
        ShouldRefuseAsync("Kestrel:Certificates:Default", ("ASPNETCORE_ENVIRONMENT", environment), ("ASPNETCORE_URLS", Https), ("HOME", folder));

    [Theory]
    [InlineData("none.pfx", "Production")]
    [InlineData("none.pfx", "Development")]
    [InlineData("text.pfx", "Production")]
    [InlineData("", "Production")]
    public Task A_certificate_that_cannot_be_read_is_refused(string file, string environment) =>
        ShouldRefuseAsync("Kestrel:Certificates", ("ASPNETCORE_ENVIRONMENT", environment), ("ASPNETCORE_URLS", Https), (Path, In(file)));

    [Theory]
    [InlineData("Production")]
    [InlineData("Development")]
    public Task A_certificate_with_another_password_is_refused(string environment) => ShouldRefuseAsync(
        "Kestrel:Certificates", ("ASPNETCORE_ENVIRONMENT", environment), ("ASPNETCORE_URLS", Https), (Path, In("good.pfx")), ("Kestrel:Certificates:Default:Password", "another"));

    [Fact]
    public Task A_certificate_without_its_key_is_refused() => ShouldRefuseAsync("Kestrel:Certificates", ("ASPNETCORE_URLS", Https), (Path, In("certificate.pem")));

    [Fact]
    public Task A_certificate_that_no_store_has_is_refused() => ShouldRefuseAsync(
        "Kestrel:Certificates", ("ASPNETCORE_URLS", Https), ("Kestrel:Certificates:Default:Subject", "nobody"), ("Kestrel:Certificates:Default:Store", "My"), ("HOME", folder));

    [Fact]
    public Task A_certificate_that_is_given_twice_is_refused() => ShouldRefuseAsync(
        "Kestrel:Certificates", ("ASPNETCORE_URLS", Https), (Path, In("good.pfx")), ("Kestrel:Certificates:Default:Subject", "localhost"));

    [Fact]
    public Task A_certificate_that_nobody_needs_yet_is_looked_at_too() => ShouldRefuseAsync("Kestrel:Certificates", (Path, In("none.pfx")));

    [Fact]
    public Task A_management_url_without_a_certificate_is_refused() =>
        ShouldRefuseAsync("Kestrel:Certificates:Default", ("Recognize:Management:Urls", $"https://127.0.0.1:{FreePorts.Next()}"), ("HOME", folder));

    [Fact]
    public async Task With_its_certificate_the_service_is_ready()
    {
        await using var service = await ServiceProcess.StartAsync(
            database, "node-1", ("ASPNETCORE_URLS", Https), (Path, In("good.pfx")), ("Kestrel:Certificates:Default:Password", Password));

        Assert.Contains(service.Output, line => line.Contains("API https://127.0.0.1:", StringComparison.Ordinal));
    }

    private async Task ShouldRefuseAsync(string named, params (string, string)[] settings)
    {
        await using var service = ServiceProcess.Launch(database, "node-1", settings);

        var exit = await service.ExitAsync();

        var output = string.Join('\n', service.Output);
        Assert.True(exit == 1, $"Exit code {exit}: {output}");
        Assert.Equal("Recognize.Orleans does not start:", service.Output[0]);
        Assert.Contains(named, Assert.Single(service.Output.Skip(1)), StringComparison.Ordinal);
        Assert.DoesNotContain("   at ", output, StringComparison.Ordinal);
    }

    private string In(string file) => System.IO.Path.Combine(folder, file);
}
