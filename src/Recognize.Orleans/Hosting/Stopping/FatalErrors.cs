using Recognize.Orleans.Cluster;

namespace Recognize.Orleans.Hosting.Stopping;

/// <summary>
/// What Orleans calls when a silo cannot go on. Orleans' own handler would end the process at once, with a stack trace
/// instead of a reason.
/// </summary>
internal sealed class FatalErrors(Fence fence) : IFatalErrorHandler
{
    public bool IsUnexpected(Exception exception) => true;

    public void OnFatalException(object? sender = null, string? context = null, Exception? exception = null)
    {
        if (exception is null)
        {
            // Orleans passes no exception when the silo finds that it was declared dead, or that a newer silo has its
            // address.
            fence.Close("The other silos have declared this one dead.");
        }
        else
        {
            fence.Close($"{sender?.GetType().Name} ({context})", exception);
        }
    }
}
