using System.IO.Compression;
using System.Security.Cryptography;
using Microsoft.Net.Http.Headers;
using Recognize.Orleans.Customers;
using Scalar.AspNetCore;

namespace Recognize.Orleans.Api;

/// <summary>Serves the API's document, <c>openapi/v2.json</c>, and the page that shows it.</summary>
internal static class OpenApi
{
    private const string Path = "/openapi/v2.json";

    // The page has no options for these: links to its maker, and buttons that offer its maker's services.
    private const string WithoutAdvertisements = """a[href*="scalar.com/"], .generate-sdk-button, .selected-client-action { display: none !important; }""";

    /// <param name="app">The service.</param>
    /// <param name="withDemo">Whether the page begins with the demo customer's keys.</param>
    public static void MapApiDocument(this IEndpointRouteBuilder app, bool withDemo)
    {
        var scopes = app.ServiceProvider.GetServices<Scope>().ToList();
        var plain = Read();
        var gzip = Compress(plain);
        var (plainTag, gzipTag) = (TagOf(plain), TagOf(gzip));
        app.MapGet(Path, (HttpContext context) =>
        {
            var compressed = context.Request.GetTypedHeaders().AcceptEncoding.Any(coding => coding is { Value.Value: "gzip", Quality: not 0 });
            var headers = context.Response.Headers;
            (headers.CacheControl, headers.Vary, headers.ContentEncoding) = ("no-cache", HeaderNames.AcceptEncoding, compressed ? "gzip" : default);
            return Results.Bytes(compressed ? gzip : plain, "application/json", entityTag: compressed ? gzipTag : plainTag);
        }).AnswersHead();
        app.MapScalarApiReference("/docs", options => scopes.Aggregate(options, (page, scope) => page.AddApiKeyAuthentication(KeyOf(scope), scheme => scheme.Value = withDemo ? scope.DemoKey : null))
            .HideDeveloperTools()
            .DisableMcp()
            .WithTitle("Recognize.Orleans Operations API")
            .AddDocument("v2", routePattern: Path)
            .WithCustomCss(WithoutAdvertisements)
            .DisableDefaultFonts()
            .DisableTelemetry()
            .DisableAgent()
            .HideClientButton())
            .AnswersHead()
            .AddEndpointFilter((invocation, next) =>
            {
                // Everything that the page loads or sends stays on this server.
                invocation.HttpContext.Response.Headers.ContentSecurityPolicy =
                    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:";
                return next(invocation);
            });
    }

    // What the document calls the key of a scope.
    private static string KeyOf(Scope scope) => $"{char.ToUpperInvariant(scope.Name[0])}{scope.Name[1..]}Key";

    private static byte[] Read()
    {
        using var resource = typeof(OpenApi).Assembly.GetManifestResourceStream("openapi/v2.json")!;
        using var document = new MemoryStream();
        resource.CopyTo(document);
        return document.ToArray();
    }

    private static byte[] Compress(byte[] document)
    {
        using var compressed = new MemoryStream();
        using (var gzip = new GZipStream(compressed, CompressionLevel.SmallestSize))
        {
            gzip.Write(document);
        }

        return compressed.ToArray();
    }

    private static EntityTagHeaderValue TagOf(byte[] bytes) => new($"\"{Convert.ToHexStringLower(SHA256.HashData(bytes), 0, 8)}\"");
}
