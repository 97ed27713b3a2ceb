namespace Recognize.Orleans.Hosting;

/// <summary>
/// Tells silos that left from silos that were lost, by what Orleans says of their statuses. The last status of both is
/// <see cref="SiloStatus.Dead"/>. A removed row of the membership table is reported as dead too, long after its silo ended.
/// </summary>
internal sealed class Departures
{
    private readonly Lock gate = new();
    private readonly HashSet<SiloAddress> leaving = [];
    private readonly HashSet<SiloAddress> gone = [];

    /// <summary>Notes a status, and says how a silo ended that has ended now; null for all others.</summary>
    public Departure? Note(SiloAddress silo, SiloStatus status)
    {
        lock (gate)
        {
            if (status is SiloStatus.ShuttingDown or SiloStatus.Stopping)
            {
                leaving.Add(silo);
            }

            if (status is not SiloStatus.Dead)
            {
                return null;
            }

            if (!gone.Add(silo))
            {
                // Its row was removed, and nothing more is heard of it.
                gone.Remove(silo);
                return null;
            }

            return leaving.Remove(silo) ? Departure.Left : Departure.Lost;
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
