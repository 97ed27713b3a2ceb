namespace Recognize.Orleans.FaultInjection;

/// <summary>Sends all requests about one id to one node, until it changes its mind about that id, or about all.</summary>
internal sealed class FickleBalancer(int nodes, int seed)
{
    // Requests until it does, on average. Minds about users last for some seconds: long enough for a user to move, short enough to see it move again.
    private const int ChangesOfUser = 250;
    private const int ChangesOfOperation = 8;
    private const int ChangesOfAll = 2_500;

    private readonly Lock gate = new();
    private readonly Random random = new(seed);
    private readonly Dictionary<string, int> minds = new(StringComparer.Ordinal);

    public int NodeOfUser(string user) => NodeOf(user, ChangesOfUser);

    public int NodeOfOperation(string id) => NodeOf(id, ChangesOfOperation);

    private int NodeOf(string id, int changes)
    {
        lock (gate)
        {
            if (random.Next(ChangesOfAll) == 0)
            {
                minds.Clear();
            }

            if (random.Next(changes) == 0)
            {
                minds.Remove(id);
            }

            return minds.TryGetValue(id, out var node) ? node : minds[id] = random.Next(nodes);
        }
    }
}
