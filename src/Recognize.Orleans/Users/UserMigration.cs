namespace Recognize.Orleans.Users;

/// <summary>When a user's grain moves: beside the front end that has been alone in calling it for a while.</summary>
internal sealed class UserMigration(ILocalSiloDetails silo, TimeProvider clock)
{
    // With fewer calls a move costs more than it saves. Where a balancer spreads blindly over two silos, one call in 500 ends such a streak.
    private const int Enough = 8;

    // However calls come in bursts, a grain moves seldom: a call that finds it on the move for the third time is refused.
    private static readonly TimeSpan LongEnough = TimeSpan.FromSeconds(5);

    // How Orleans names the client inside a silo, the one that calls grains for requests over HTTP.
    private const string InSilo = "hosted-";

    private readonly GrainId here = GrainId.Create(GrainTypePrefix.ClientGrainType, IdSpan.Create(InSilo + silo.SiloAddress.ToParsableString()));

    /// <summary>Counts a call.</summary>
    /// <param name="caller">Who calls; grains do not count.</param>
    /// <param name="streak">The streak that the call ends or goes on with.</param>
    /// <returns>The silo to live on, when for long enough all calls came from there; null: stay.</returns>
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

    /// <summary>Calls in a row from one front end on another silo.</summary>
    public readonly record struct Streak(GrainId Client, int Length, long Begun);
}
