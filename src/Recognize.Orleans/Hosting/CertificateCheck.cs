namespace Recognize.Orleans.Hosting;

/// <summary>
/// Refuses certificates that the web server cannot serve https with, before the silo joins and others rely on it.
/// </summary>
internal static class CertificateCheck
{
    /// <summary>What is wrong, as a sentence; null when nothing is.</summary>
    // The server reads certificates only when it starts, and only it knows where it searches. So a server with the same
    // settings and nothing to serve is started here.
    public static async Task<string?> ErrorInAsync(WebApplicationBuilder service, Settings settings)
    {
        var url = settings.ApiUrls.Concat(settings.Management.Urls).FirstOrDefault(url => url.Scheme is "https");
        var kestrel = service.Configuration.GetSection("Kestrel");
        if (url is null && !kestrel.Exists())
        {
            return null;
        }

        var builder = WebApplication.CreateEmptyBuilder(new()
        {
            ApplicationName = service.Environment.ApplicationName,
            EnvironmentName = service.Environment.EnvironmentName,
            ContentRootPath = service.Environment.ContentRootPath,
        });
        builder.WebHost
            .UseKestrel(options => options.Configure(kestrel))
            .UseUrls(url is null ? "http://127.0.0.1:0" : "https://127.0.0.1:0");
        try
        {
            await using var server = builder.Build();
            await server.StartAsync();
            return null;
        }
        catch (Exception exception)
        {
            // The lines after the first are the server's advice about developer certificates.
            var reason = exception.GetBaseException().Message.Split('\n')[0].TrimEnd();
            return url is null
                ? $"The section Kestrel cannot be used, of which Kestrel:Certificates:Default is the certificate for https: {reason}"
                : $"The URL {url} needs a certificate, in Kestrel:Certificates:Default: {reason}";
        }
    }
}
