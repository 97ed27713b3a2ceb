namespace Recognize.Orleans.Cluster;

/// <summary>Who does what one silo does for all.</summary>
internal static class FirstSilo
{
    /// <summary>Whether this silo has the lowest address. While one joins or leaves, two may think so, or none.</summary>
    public static bool IsFirst(this ISiloStatusOracle silos) => silos.SiloAddress.Equals(silos.GetApproximateSiloStatuses(onlyActive: true).Keys.Min());
}
