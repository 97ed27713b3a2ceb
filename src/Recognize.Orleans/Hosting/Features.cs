using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations;

namespace Recognize.Orleans.Hosting;

/// <summary>
/// What the service offers. A feature is a folder, a line that adds it and a line that maps it: it brings its settings,
/// scopes, problems, metrics, stored types, grains and routes.
/// </summary>
internal static class Features
{
    public static void AddFeatures(this IServiceCollection services, SettingsReader reader, bool withDemo)
    {
        services.AddCustomers(reader, withDemo);
        services.AddApi(reader);
        services.AddOperations(reader);

        // All settings are read now.
        reader.RefuseUnknown("Recognize", except: "Recognize:Customers");
    }

    public static void MapFeatures(this IEndpointRouteBuilder v2) => v2.MapOperations();

    /// <summary>Reads every setting of the service, and registers nothing that lasts.</summary>
    /// <returns>The settings of the process, and what the features have registered.</returns>
    public static (Settings Process, IServiceCollection Features) ReadSettings(SettingsReader reader)
    {
        var settings = Settings.Read(reader);
        var services = new ServiceCollection();
        services.AddFeatures(reader, withDemo: false);
        return (settings, services);
    }
}
