using System.Reflection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging.Console;
using Recognize.Orleans.Api;
using Recognize.Orleans.Cluster;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;
using Recognize.Orleans.Hosting.Stopping;
using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Hosting;

/// <summary>Builds, starts and stops the service.</summary>
internal static class ServiceHost
{
    public static string Version { get; } =
        typeof(ServiceHost).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()!.InformationalVersion.Split('+')[0];

    /// <summary>Serves until the process is told to stop.</summary>
    /// <param name="args">Settings.</param>
    /// <returns>The exit code of the process.</returns>
    public static async Task<int> ServeAsync(string[] args)
    {
        await using var app = await BuildAsync(args);
        var stop = app.Services.GetRequiredService<ServiceStop>();
        stop.Listen();
        try
        {
            await StartAsync(app);
            await stop.Begun;
            await app.StopAsync(stop.Patience);
        }
        catch (Exception exception) when (stop.IsClosed || (exception is not StartRefusedException && app.Lifetime.ApplicationStopping.IsCancellationRequested))
        {
            // The reason is already logged, or an operator stopped the start. The host's exception adds nothing.
        }

        return stop.ExitCode;
    }

    private static async Task StartAsync(WebApplication app)
    {
        try
        {
            await app.StartAsync();
        }
        catch (Exception exception) when (exception is IOException or InvalidOperationException or System.Data.Common.DbException && !app.Lifetime.ApplicationStopping.IsCancellationRequested)
        {
            // The web server may find only now that a port was taken a moment ago, and Orleans that the database is
            // gone. The silo may already have joined: a regular stop tells the other silos, so that they need not
            // detect the loss.
            using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(5));
            await app.StopAsync(patience.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            throw new StartRefusedException([exception.Message]);
        }
    }

    /// <summary>Builds the service, or reports everything that keeps it from starting.</summary>
    /// <param name="args">The command line.</param>
    /// <param name="configure">What a test replaces.</param>
    /// <exception cref="StartRefusedException">
    /// An error in the configuration, the database's schema or the machine.
    /// </exception>
    public static async Task<WebApplication> BuildAsync(string[] args, Action<WebApplicationBuilder>? configure = null)
    {
        var builder = NewBuilder(args);
        configure?.Invoke(builder);

        var reader = new SettingsReader(builder.Configuration, builder.Environment.ContentRootPath);
        var settings = Settings.Read(reader);
        var clock = new ServiceClock();
        AddServices(builder, settings, reader, clock);
        var errors = new List<string>(reader.Errors);
        CustomerDirectory.Read(builder.Configuration, DemoCustomer.IsOffered(builder.Environment, settings.IsLocalOnly), builder.Services.Scopes(), errors);
        errors.AddRange(Ports.ErrorsIn(settings));
        if (await CertificateCheck.ErrorInAsync(builder, settings) is { } unusable)
        {
            errors.Add(unusable);
        }

        StartRefusedException.ThrowIfAny(errors);

        var database = await OpenDatabaseAsync(settings, clock);
        builder.Services.AddSingleton(_ => database);
        var app = builder.Build();

        // The container disposes only what it has handed out, and the lock of a SQLite file must end with the service.
        _ = app.Services.GetRequiredService<OpenDatabase>();
        UsePipeline(app, settings);
        return app;
    }

    public static WebApplicationBuilder NewBuilder(string[] args)
    {
        // A folder that has an appsettings.json is the root when the program is started there. Otherwise a published
        // program finds its settings and its database in its own folder.
        var here = Directory.GetCurrentDirectory();
        var root = File.Exists(Path.Combine(here, "appsettings.json")) ? here : AppContext.BaseDirectory;
        try
        {
            // SettingsFiles reloads the settings files instead.
            var builder = WebApplication.CreateBuilder(new WebApplicationOptions { Args = ["--hostBuilder:reloadConfigOnChange=false", .. args], ContentRootPath = root });
            builder.Configuration.AddSettingsDirectories(builder.Environment.ContentRootPath);
            return builder;
        }
        catch (InvalidDataException exception)
        {
            throw new StartRefusedException([$"{exception.Message} {exception.GetBaseException().Message}"]);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            // A dangling link, or a file that this user may not read.
            throw new StartRefusedException([$"A settings file cannot be read: {exception.Message}"]);
        }
    }

    private static void AddServices(WebApplicationBuilder builder, Settings settings, SettingsReader reader, ServiceClock clock)
    {
        var services = builder.Services;
        services.AddSingleton(settings);
        services.AddSingleton(settings.Silo);
        services.AddSingleton(settings.Cluster);
        services.AddSingleton(provider => provider.GetRequiredService<OpenDatabase>().Database);
        services.AddSingleton(clock);
        services.TryAddSingleton<TimeProvider>(clock);
        services.AddSingleton<ServiceStop>();
        services.AddSingleton<IFence>(provider => provider.GetRequiredService<ServiceStop>());
        services.AddSingleton<WriteProbe>();
        services.AddSingleton<DatabaseMonitor>();
        services.AddSingleton<WriteGuard, DatabaseGuard>();

        // Before the silo, so that it also monitors the database while the silo joins and leaves.
        services.AddHostedService(provider => provider.GetRequiredService<DatabaseMonitor>());
        services.AddManagement();
        services.AddTelemetry(settings);
        services.AddDraining();
        services.AddHostedService<Lifecycle>();

        // The most specific filter, and the last: whoever asks for an audit log has one, whatever levels the rest has.
        builder.Logging.AddFilter(Audit.Category, LogLevel.Information).AddFilter<ConsoleLoggerProvider>(Audit.Category, LogLevel.Information);
        services.Configure<HostOptions>(options => options.ShutdownTimeout = ServiceStop.LongestOf(settings));
        builder.Host.UseOrleans(silo =>
        {
            silo.AddRecognize(settings);
            if (settings.Telemetry.Endpoint is not null)
            {
                silo.AddActivityPropagation();
            }
        });

        // After the silo: what features do in the background begins when it has joined.
        services.AddFeatures(reader, DemoCustomer.IsOffered(builder.Environment, settings.IsLocalOnly));

        // The URLs already include the ports that the container image sets. Given both, the server would log a warning.
        builder.WebHost.UseSetting(WebHostDefaults.HttpPortsKey, "").UseSetting(WebHostDefaults.HttpsPortsKey, "");
        builder.WebHost.UseUrls([.. settings.ApiUrls.Concat(settings.Management.Urls).Select(url => url.ToString())]);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            // The API refuses a header that is not UTF-8 with a problem. The server would answer 400 without a body.
            kestrel.RequestHeaderEncodingSelector = _ => System.Text.Encoding.Latin1;
            kestrel.Limits.MaxRequestBodySize = ApiContract.LongestBody;
        });
    }

    private static void UsePipeline(WebApplication app, Settings settings)
    {
        // The port of the connection decides, whatever the Host header of its requests says.
        var managementPorts = settings.Management.Urls.Select(url => url.Port).ToHashSet();
        app.MapWhen(context => managementPorts.Contains(context.Connection.LocalPort), management => management.UseManagement());

        app.UseDraining();
        app.UseRawRequestTarget();
        app.UseExceptionHandler(_ => { });
        app.UseApiKeys();
        app.UseCallLimits();
        app.UseRouting();
        app.UseCalls();

        app.MapGroup("/v2").AnswersHead().MapFeatures();
        app.MapApiDocument(withDemo: DemoCustomer.IsOffered(app.Environment, settings.IsLocalOnly));
    }

    private static async Task<OpenDatabase> OpenDatabaseAsync(Settings settings, ServiceClock clock)
    {
        OpenDatabase? database = null;
        try
        {
            database = OpenDatabase.Open(settings.Storage);
            await RefuseUnfitServerAsync(database.Database);
            if (settings.Storage.ApplySchema)
            {
                await Schema.ApplyAsync(database.Database, CancellationToken.None);
            }

            if (await Schema.CheckAsync(database.Database, CancellationToken.None) is { } error)
            {
                throw new StartRefusedException([error]);
            }

            StartRefusedException.ThrowIfAny(await database.Database.MissingRightsAsync(CancellationToken.None));

            var claim = await ClaimAsync(database.Database, settings.Cluster);
            var sent = clock.GetTimestamp();
            var now = await database.Database.ReadClockAsync(CancellationToken.None);
            clock.Start(sent, clock.GetTimestamp(), now, claim.Newest, claim.SweepsFrom);
            if (clock.SweepsHeldUntil is { } until)
            {
                await database.Database.HoldSweepsAsync(settings.Cluster.ServiceId, until, CancellationToken.None);
            }

            return database;
        }
        catch (Exception exception)
        {
            if (database is not null)
            {
                await database.DisposeAsync();
            }

            if (IsOfTheDatabase(exception))
            {
                throw new StartRefusedException([$"The database of ConnectionStrings:Recognize cannot be used: {exception.GetBaseException().Message}"]);
            }

            throw;
        }
    }

    public static async Task RefuseUnfitServerAsync(Database database)
    {
        var errors = new List<string>();
        await database.AddServerErrorsAsync(errors, CancellationToken.None);
        StartRefusedException.ThrowIfAny(errors);
    }

    // Only one cluster may run a service: each of two would report the other's operations wrongly.
    private static async Task<ClaimResult> ClaimAsync(Database database, ClusterSettings cluster)
    {
        var claim = await database.ClaimAsync(cluster.ServiceId, cluster.ClusterId, CancellationToken.None);
        if (claim.ClusterId != cluster.ClusterId)
        {
            throw new StartRefusedException(
                [$"The service {cluster.ServiceId} in this database belongs to the cluster {claim.ClusterId}, and Recognize:Cluster:ClusterId is {cluster.ClusterId}: set it to {claim.ClusterId} to join, or stop every node of {claim.ClusterId}, wait for {Times.ClusterClaim.TotalSeconds} seconds and start again to take over."]);
        }

        return claim;
    }

    // The database does not exist or refuses, a script fails, or a folder is not writable.
    public static bool IsOfTheDatabase(Exception exception) =>
        exception is System.Data.Common.DbException or InvalidOperationException or TimeoutException or IOException or UnauthorizedAccessException;

    public static Settings ReadSettings(string[] args)
    {
        var builder = NewBuilder(args);
        var reader = new SettingsReader(builder.Configuration, builder.Environment.ContentRootPath);
        var (settings, _) = Features.ReadSettings(reader);
        StartRefusedException.ThrowIfAny(reader.Errors);
        return settings;
    }
}
