namespace Recognize.Orleans.Hosting;

/// <summary>
/// Tells silos that left from silos that were lost, by what Orleans says of their statuses. The last status of both is
/// <see cref="SiloStatus.Dead"/>. A removed row of the membership table is reported as dead too, long after its silo ended.
/// </summary>
internal sealed class Departures
{
    private readonly Dictionary<SiloAddress, SiloStatus> statuses = [];

    /// <summary>Notes a status, and says how a silo ended that has ended now; null for all others.</summary>
    public Departure? Note(SiloAddress silo, SiloStatus status)
    {
        lock (statuses)
        {
            statuses.Remove(silo, out var before);
            if (status is SiloStatus.Dead && before is SiloStatus.Dead)
            {
                // Its row was removed, and nothing more is heard of it.
                return null;
            }

            statuses[silo] = status;
            return status is not SiloStatus.Dead ? null : before.IsTerminating() ? Departure.Left : Departure.Lost;
        }
    }
}

internal enum Departure
{
    /// <summary>It had said that it stops.</summary>
    Left,

    /// <summary>The others found out.</summary>
    Lost,
}
