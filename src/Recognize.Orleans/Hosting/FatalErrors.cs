using Recognize.Orleans.Storage;

namespace Recognize.Orleans.Hosting;

/// <summary>What Orleans calls when a silo cannot go on. Its own handler would end the process on the spot, with a stack of calls instead of a reason.</summary>
internal sealed class FatalErrors(Fence fence) : IFatalErrorHandler
{
    public bool IsUnexpected(Exception exception) => true;

    public void OnFatalException(object? sender = null, string? context = null, Exception? exception = null)
    {
        if (exception is null)
        {
            // Orleans names no exception when the silo has found itself dead, or an older one than another at its address.
            fence.Close("The other silos have declared this one dead.");
        }
        else
        {
            fence.Close($"{sender?.GetType().Name} ({context})", exception);
        }
    }
}
