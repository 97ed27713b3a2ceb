using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Operations;

internal sealed record OperationSettings
{
    /// <summary>
    /// One operation always fits: its texts at full length, each UTF-16 unit escaped in six bytes, and the rest of its JSON.
    /// </summary>
    public const int LeastPendingBytes = (6 * (OperationLimits.OperationId + OperationLimits.Payload + OperationLimits.ExternalUserId)) + 1_024;

    public required int PendingLimit { get; init; }

    /// <summary>How many bytes the list of one user's pending operations may have as it is sent.</summary>
    public required int PendingBytes { get; init; }

    /// <summary>How long an operation can be decided if its create sets no lifetime; null: without limit.</summary>
    public required TimeSpan? Lifetime { get; init; }

    /// <summary>How long ended operations and their tombstones are kept; null: forever.</summary>
    public required RetentionSettings? Retention { get; init; }

    public static OperationSettings Read(SettingsReader reader) => new()
    {
        PendingLimit = reader.Number("Recognize:Operations:PendingLimit", 1_000, 1, 1_000),
        PendingBytes = reader.Number("Recognize:Operations:PendingBytes", 1024 * 1024, LeastPendingBytes, 1024 * 1024),
        Lifetime = reader.OptionalDuration(
            "Recognize:Operations:Lifetime",
            TimeSpan.FromSeconds(OperationLimits.ShortestLifetime),
            TimeSpan.FromSeconds(OperationLimits.LongestLifetime)),
        Retention = RetentionSettings.Read(reader),
    };
}

/// <param name="Operations">How long an operation is kept after its end.</param>
/// <param name="Tombstones">How long its tombstone is kept after that. Until then its id cannot be used again.</param>
internal sealed record RetentionSettings(TimeSpan Operations, TimeSpan Tombstones)
{
    /// <summary>The shortest that can be set.</summary>
    public static readonly TimeSpan Shortest = TimeSpan.FromHours(1);

    private const string OperationsKey = "Recognize:Operations:Retention";
    private const string TombstonesKey = "Recognize:Operations:TombstoneRetention";

    private static readonly TimeSpan Most = TimeSpan.FromDays(36_500);
    private static readonly TimeSpan Year = TimeSpan.FromDays(365);

    public static RetentionSettings? Read(SettingsReader reader)
    {
        var operations = reader.OptionalDuration(OperationsKey, Shortest, Most);
        var tombstones = reader.OptionalDuration(TombstonesKey, Shortest, Most);
        if (operations is not { } kept)
        {
            if (tombstones is not null)
            {
                reader.AddError($"{TombstonesKey} says nothing without {OperationsKey}: set both, or neither.");
            }

            return null;
        }

        if (tombstones < kept)
        {
            reader.AddError($"{TombstonesKey} must not be shorter than {OperationsKey}.");
        }

        return new(kept, tombstones ?? (kept > Year ? kept : Year));
    }
}
