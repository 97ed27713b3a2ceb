using System.Text.Json.Serialization.Metadata;
using Orleans.Configuration;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Operations.Pending;
using Recognize.Orleans.Operations.Retention;

namespace Recognize.Orleans.Operations;

/// <summary>The feature: operations, their users and the lists of both.</summary>
internal static class OperationServices
{
    public static void AddOperations(this IServiceCollection services, SettingsReader reader)
    {
        var settings = OperationSettings.Read(reader);
        services.AddSingleton(settings);
        services.AddSingleton(OperationScopes.Operations);
        services.AddSingleton(OperationScopes.Decisions);
        services.AddSingleton<IJsonTypeInfoResolver>(StateJson.Default);
        services.AddSingleton<OperationMetrics>();
        services.AddSingleton<IAlertedCounters>(provider => provider.GetRequiredService<OperationMetrics>());
        services.AddSingleton<OperationHistory>();
        services.AddSingleton<OperationNumbers>();
        services.AddSingleton<UserMigration>();
        services.AddSingleton<PendingLists>();

        // Checked once a minute, which is the default, an activation could stay for twice its age.
        services.Configure<GrainCollectionOptions>(options => options.CollectionQuantum = TimeSpan.FromSeconds(10));
        services.AddHostedService<PendingCount>();
        if (settings.Retention is not null)
        {
            services.AddHostedService<RetentionSweeps>();
        }
    }

    public static void MapOperations(this IEndpointRouteBuilder v2)
    {
        ActivatorUtilities.CreateInstance<OperationEndpoints>(v2.ServiceProvider).Map(v2);
        ActivatorUtilities.CreateInstance<UserEndpoints>(v2.ServiceProvider).Map(v2);
    }
}
