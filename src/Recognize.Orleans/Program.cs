using Recognize.Orleans.Hosting;

return await ServiceHost.RunAsync(args);
