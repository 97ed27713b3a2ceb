using System.Globalization;
using Recognize.Orleans.Hosting.CommandLine;

// Logs and commands say the same whatever language the machine speaks: some count the years from another one, and the drivers translate their messages.
CultureInfo.CurrentCulture = CultureInfo.CurrentUICulture = CultureInfo.InvariantCulture;
CultureInfo.DefaultThreadCurrentCulture = CultureInfo.DefaultThreadCurrentUICulture = CultureInfo.InvariantCulture;

return await Commands.RunAsync(args);
