using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Customers;

/// <param name="Audit">Whether the log tells who changed what.</param>
/// <param name="WithDemo">Whether the demo customer is served.</param>
internal sealed record CustomerSettings(bool Audit, bool WithDemo);

internal static class CustomerServices
{
    /// <summary>Registers the customers and their keys.</summary>
    public static void AddCustomers(this IServiceCollection services, SettingsReader reader, bool withDemo)
    {
        services.AddSingleton(new CustomerSettings(reader.Flag("Recognize:Audit", false), withDemo));
        services.AddSingleton<SettingsFiles>();
        services.AddHostedService(provider => provider.GetRequiredService<SettingsFiles>());
        services.AddSingleton<Audit>();
        services.AddSingleton<CustomerDirectory>();
    }

    /// <summary>The scopes that features have registered.</summary>
    public static IReadOnlyList<Scope> Scopes(this IServiceCollection services) => [.. services.Select(service => service.ImplementationInstance).OfType<Scope>()];
}
