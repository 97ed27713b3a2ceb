namespace Recognize.Orleans.Operations;

/// <summary>
/// When a user's grain migrates: to the silo of the front end that has been its only caller for a while.
/// </summary>
internal sealed class UserMigration(ILocalSiloDetails silo, TimeProvider clock)
{
    // With fewer calls a migration costs more than it saves. Where a load balancer spreads calls over two silos at
    // random, one call in 500 completes such a streak.
    private const int Enough = 8;

    // Even if calls come in bursts, a grain must migrate rarely: a call that meets it during its third migration is
    // refused.
    private static readonly TimeSpan LongEnough = TimeSpan.FromSeconds(5);

    // The prefix of Orleans' name for the client inside a silo, which calls grains for HTTP requests.
    private const string InSilo = "hosted-";

    private readonly GrainId here = GrainId.Create(GrainTypePrefix.ClientGrainType, IdSpan.Create(InSilo + silo.SiloAddress.ToParsableString()));

    /// <summary>Counts a call.</summary>
    /// <param name="caller">The caller; calls from grains do not count.</param>
    /// <param name="streak">The streak that the call ends or continues.</param>
    /// <returns>The silo to migrate to, when all calls have come from it for long enough; null: stay.</returns>
    public SiloAddress? TargetAfter(GrainId? caller, ref Streak streak)
    {
        if (caller is not { } client || client.Type != GrainTypePrefix.ClientGrainType)
        {
            return null;
        }

        if (client == here)
        {
            streak = default;
            return null;
        }

        streak = client == streak.Client ? streak with { Length = streak.Length + 1 } : new(client, 1, clock.GetTimestamp());
        return streak.Length >= Enough && clock.GetElapsedTime(streak.Begun) >= LongEnough ? SiloOf(client) : null;
    }

    private SiloAddress? SiloOf(GrainId client) =>
        client.Key.ToString() is { } name && name.StartsWith(InSilo, StringComparison.Ordinal)
        && SiloAddress.TryParse(name[InSilo.Length..], out var address) && !address.Equals(silo.SiloAddress) ? address : null;

    /// <summary>Consecutive calls from one front end on another silo.</summary>
    public readonly record struct Streak(GrainId Client, int Length, long Begun);
}
