
namespace Recognize.Orleans.Operations;

/// <summary>Times of operations that depend on those of storage and cluster. <c>TimesTests</c> holds the rules between them.</summary>
internal static class OperationTimes
{
    /// <summary>How long after an operation has ended some grains may not know it yet.</summary>
    public static readonly TimeSpan RecentEnd = TimeSpan.FromMinutes(1);

    /// <summary>How long a user's grain replays the create of its newest operation from memory.</summary>
    public static readonly TimeSpan Replay = TimeSpan.FromMinutes(10);
}
