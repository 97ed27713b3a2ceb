using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Api;

internal static class ApiServices
{
    /// <summary>Registers what every call under <c>/v2</c> needs.</summary>
    public static void AddApi(this IServiceCollection services, SettingsReader reader)
    {
        services.AddSingleton(CallSettings.Read(reader));
        services.AddSingleton(WaitSettings.Read(reader));
        services.AddSingleton<ApiMetrics>();
        services.AddSingleton<IAlertedCounters>(provider => provider.GetRequiredService<ApiMetrics>());
        services.AddSingleton<CallLimits>();
        services.AddSingleton<UnreadBytes>();
        services.AddSingleton<FrontEndWaits>();
        services.AddExceptionHandler<ExceptionAnswers.Handler>();
    }
}
