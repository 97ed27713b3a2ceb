namespace Recognize.Orleans.Foundation;

/// <summary>Why the service does not start: every reason at once, as sentences for the operator.</summary>
internal sealed class StartRefusedException(IReadOnlyCollection<string> errors)
    : Exception($"Recognize.Orleans does not start:{string.Concat(errors.Select(error => $"{Environment.NewLine}  - {error}"))}")
{
    public static void ThrowIfAny(IReadOnlyCollection<string> errors)
    {
        if (errors.Count > 0)
        {
            throw new StartRefusedException(errors);
        }
    }
}
