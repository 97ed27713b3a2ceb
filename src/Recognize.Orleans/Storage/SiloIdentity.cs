namespace Recognize.Orleans.Storage;

/// <summary>The row of a silo in OrleansMembershipTable, as Orleans' ADO.NET clustering names it. A restarted silo has another generation.</summary>
internal sealed record SiloIdentity(string ClusterId, string Address, int Port, int Generation);
