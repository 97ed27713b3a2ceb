using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Recognize.Orleans.Api;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting;
using Recognize.Orleans.Operations;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Fixtures;

/// <summary>All settings of a configuration: those of the process, and those that features have read.</summary>
internal sealed class TestSettings(Settings process, IServiceCollection features)
{
    public StorageSettings Storage => process.Storage;

    public SiloSettings Silo => process.Silo;

    public ClusterSettings Cluster => process.Cluster;

    public ManagementSettings Management => process.Management;

    public TelemetrySettings Telemetry => process.Telemetry;

    public IReadOnlyList<Microsoft.AspNetCore.Http.BindingAddress> ApiUrls => process.ApiUrls;

    public bool IsLocalOnly => process.IsLocalOnly;

    public OperationSettings Operations => Of<OperationSettings>();

    public CallSettings Calls => Of<CallSettings>();

    public WaitSettings Waits => Of<WaitSettings>();

    public static TestSettings Read(IConfiguration configuration, string contentRoot, List<string> faults)
    {
        var reader = new SettingsReader(configuration, contentRoot);
        var (process, features) = Features.ReadSettings(reader);
        faults.AddRange(reader.Errors);
        return new(process, features);
    }

    private T Of<T>() => features.Select(service => service.ImplementationInstance).OfType<T>().Single();
}
