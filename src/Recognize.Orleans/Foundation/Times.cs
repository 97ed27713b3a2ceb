namespace Recognize.Orleans.Foundation;

/// <summary>Times that depend on each other, in one place. <c>TimesTests</c> holds the rules between them.</summary>
internal static class Times
{
    /// <summary>
    /// How long a row that may still change is served from the cache. Another activation may have written it without
    /// telling us.
    /// </summary>
    public static readonly TimeSpan CacheLifetime = TimeSpan.FromSeconds(5);

    /// <summary>How often a process checks that its database answers.</summary>
    public static readonly TimeSpan DatabaseCheck = TimeSpan.FromSeconds(1);

    /// <summary>How long such a check may take.</summary>
    public static readonly TimeSpan LongestDatabaseCheck = TimeSpan.FromSeconds(2);

    /// <summary>
    /// How old the database's last answer may be for cached rows to be served. A process that was frozen finds it too
    /// old.
    /// </summary>
    public static readonly TimeSpan LongestDatabaseSilence = TimeSpan.FromSeconds(3);

    /// <summary>
    /// How long after a statement was sent the database may begin with it. The statement carries that deadline.
    /// </summary>
    public static readonly TimeSpan StatementLife = TimeSpan.FromSeconds(5);

    /// <summary>How long a statement of a group may take, in seconds.</summary>
    public const int StatementSeconds = 5;

    /// <summary>
    /// How long after a write without an answer its row may still change: a statement's life, plus a margin for clocks
    /// and the commit.
    /// </summary>
    public static readonly TimeSpan UnknownOutcome = StatementLife + TimeSpan.FromSeconds(5);

    /// <summary>How long a write may wait in the queue before it is refused.</summary>
    public static readonly TimeSpan LongestInQueue = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How long after its announcement a write may still change its row: its wait for the database, plus the time of an
    /// unknown outcome.
    /// </summary>
    public static readonly TimeSpan LongestWrite = TimeSpan.FromSeconds(90);

    /// <summary>When Orleans gives up a call. Only a database or a silo that does not answer takes that long.</summary>
    public static readonly TimeSpan ResponseTimeout = TimeSpan.FromSeconds(10);

    /// <summary>How long a front end retries a call that met a lost activation.</summary>
    public static readonly TimeSpan Retries = TimeSpan.FromSeconds(5);


    /// <summary>How often a silo writes its heartbeat into the membership table.</summary>
    public static readonly TimeSpan SignOfLife = TimeSpan.FromSeconds(5);

    /// <summary>How long a cluster may send no heartbeat before another one may take its service over.</summary>
    public static readonly TimeSpan ClusterClaim = TimeSpan.FromSeconds(15);
}
