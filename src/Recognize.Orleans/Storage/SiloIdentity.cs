namespace Recognize.Orleans.Storage;

/// <summary>
/// A silo's row in OrleansMembershipTable, as Orleans' ADO.NET clustering names it. A restarted silo has a new
/// generation.
/// </summary>
internal sealed record SiloIdentity(string ClusterId, string Address, int Port, int Generation);
