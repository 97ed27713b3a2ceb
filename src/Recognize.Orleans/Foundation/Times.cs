namespace Recognize.Orleans.Foundation;

/// <summary>The times that depend on each other, in one place. <c>TimesTests</c> holds the rules between them.</summary>
internal static class Times
{
    /// <summary>How long a row that may still change is told from memory: another activation may have written it without telling us.</summary>
    public static readonly TimeSpan CacheLifetime = TimeSpan.FromSeconds(5);

    /// <summary>How often a process asks its database for a sign of life.</summary>
    public static readonly TimeSpan DatabaseCheck = TimeSpan.FromSeconds(1);

    /// <summary>How long such a question may take.</summary>
    public static readonly TimeSpan LongestDatabaseCheck = TimeSpan.FromSeconds(2);

    /// <summary>How old the last answer of the database may be for memory to be told. A process that was frozen finds it older.</summary>
    public static readonly TimeSpan LongestDatabaseSilence = TimeSpan.FromSeconds(3);

    /// <summary>From when it is sent on, how long the database may begin with a statement; the statement carries that time.</summary>
    public static readonly TimeSpan StatementLife = TimeSpan.FromSeconds(5);

    /// <summary>How long a statement of a group may take, in seconds.</summary>
    public const int StatementSeconds = 5;

    /// <summary>How long after a write without an answer its row may still change: a statement's life, and a margin for clocks and the commit.</summary>
    public static readonly TimeSpan UnknownOutcome = StatementLife + TimeSpan.FromSeconds(5);

    /// <summary>How long a write waits in the queue before it is refused.</summary>
    public static readonly TimeSpan LongestInQueue = TimeSpan.FromSeconds(10);

    /// <summary>How long after its announcement a write may still change its row: its wait for the database, and then the time of an unknown outcome.</summary>
    public static readonly TimeSpan LongestWrite = TimeSpan.FromSeconds(90);

    /// <summary>When Orleans gives up a call. Nothing here takes that long but a database or a silo that does not answer.</summary>
    public static readonly TimeSpan ResponseTimeout = TimeSpan.FromSeconds(10);

    /// <summary>For how long a front end repeats a call that met a lost activation.</summary>
    public static readonly TimeSpan Retries = TimeSpan.FromSeconds(5);

    /// <summary>How long a large answer waits for its customer's turn. Who asks behind a read that is in flight waits for two turns.</summary>
    public static readonly TimeSpan LongestTurnWait = TimeSpan.FromSeconds(3);

    /// <summary>For how long the pages of one list are read at the customer's pace: what the first page showed must not be old when the last one comes.</summary>
    public static readonly TimeSpan LongestPacedRead = TimeSpan.FromSeconds(2);

    /// <summary>An end that is younger may not be known to every grain yet.</summary>
    public static readonly TimeSpan RecentEnd = TimeSpan.FromMinutes(1);

    /// <summary>For how long a user's grain answers for its newest operation from memory.</summary>
    public static readonly TimeSpan Replay = TimeSpan.FromMinutes(10);

    /// <summary>The shortest time for which what has ended can be kept.</summary>
    public static readonly TimeSpan ShortestRetention = TimeSpan.FromHours(1);

    /// <summary>How often a silo writes its sign of life into the membership table.</summary>
    public static readonly TimeSpan SignOfLife = TimeSpan.FromSeconds(5);

    /// <summary>How long a cluster may show no sign of life before another may take its service over.</summary>
    public static readonly TimeSpan ClusterClaim = TimeSpan.FromSeconds(15);
}
