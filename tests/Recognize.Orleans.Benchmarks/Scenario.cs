
namespace Recognize.Orleans.Benchmarks;

/// <summary>What is sent. An iteration is all steps, one after the other on one connection; what is counted and timed are iterations.</summary>
/// <param name="Name">Its name in the tables.</param>
/// <param name="PrepareAsync">Puts there what a server must hold, and says the steps. Called once per server and number of connections.</param>
internal sealed record Scenario(string Name, Func<Server, Options, CancellationToken, Task<IReadOnlyList<Step>>> PrepareAsync)
{
    public const string Create = "create";
    public const string Duplicate = "duplicate create";
    public const string Warm = "get warm";
    public const string Cold = "get cold";
    public const string Journey = "create, decide, read";
    public const string OneUser = "create of one user";
    public const string List = "list with 3 pending";
    public const string ListAgain = "list with 25 pending, once in five seconds";

    private const int Users = 20_000;
    private const int WarmOperations = 1_000;
    private const int Duplicates = 2_000;
    private const int MostCold = 40_000;

    // As many as may be pending, and no longer for a server that is fast than for one that is slow.
    private const int CreatesOfOneUser = 1_000;

    // The service tells a list from memory for five seconds. Six pass before the same one is asked for again.
    private const int ListsPerSecond = 1_000;
    private const int ListsInTurn = 6 * ListsPerSecond;

    private static long coldOperations;

    /// <summary>
    /// In the order in which they run. The lists come last: the baseline gets its index just before them, so that no create pays for it.
    /// </summary>
    public static readonly IReadOnlyList<Scenario> All =
    [
        new(Create, (_, _, _) => Task.FromResult(Creates("txn-20250521", 0xA1C0_0000_0000))),
        new(Duplicate, PrepareDuplicateAsync),
        new(Warm, PrepareWarmAsync),
        new(Cold, PrepareColdAsync) { Most = MostCold },
        new(Journey, (_, _, _) => Task.FromResult(Journeys)),
        new(OneUser, (_, _, _) => Task.FromResult(CreatesInTurn)),
        new(List, PrepareListAsync),
        new(ListAgain, PrepareListAgainAsync),
    ];

    /// <summary>How many iterations a round has at most; a warm-up has twice as many. Null: as many as there is time for.</summary>
    public int? Most { get; init; }

    public static IReadOnlyList<Step> Creates(string prefix, long firstUser, int users = Users) =>
        [new(200, (buffer, headers, sequence) => Requests.Create(buffer, headers, Requests.User(firstUser, sequence % users), $"{prefix}-{sequence}"))];

    /// <summary>Reads of ids that nobody has created, each once: an activation and a look into the table's index, whatever its size.</summary>
    public static IReadOnlyList<Step> Unknown =>
        [new(404, (buffer, headers, sequence) => Requests.Get(buffer, headers, $"unknown-{sequence}"))];

    /// <summary>Two steps that are no iteration: all creates first, then a read of each of what they created.</summary>
    public static IReadOnlyList<Step> CreateThenRead(string prefix)
    {
        var (created, read) = (-1L, -1L);
        return
        [
            new(200, (buffer, headers, _) =>
            {
                var number = Interlocked.Increment(ref created);
                return Requests.Create(buffer, headers, Requests.User(0xA1D4_0000_0000, number % Users), $"{prefix}-{number}");
            }),
            new(200, (buffer, headers, _) => Requests.Get(buffer, headers, $"{prefix}-{Interlocked.Increment(ref read)}")),
        ];
    }

    /// <summary>A journey as the user sees it: what was created is on the list until it is decided.</summary>
    public static IReadOnlyList<Step> ListedJourney(string prefix, Func<long, string> userOf) =>
    [
        new(200, (buffer, headers, sequence) => Requests.Create(buffer, headers, userOf(sequence), $"{prefix}-{sequence}")),
        new(200, (buffer, headers, sequence) => Requests.ListPending(buffer, headers, userOf(sequence))),
        new(200, (buffer, headers, sequence) => Requests.Approve(buffer, headers, userOf(sequence), $"{prefix}-{sequence}")),
    ];

    private static IReadOnlyList<Step> Journeys
    {
        get
        {
            return
            [
                new(200, (buffer, headers, sequence) => Requests.Create(buffer, headers, User(sequence), $"journey-{sequence}")),
                new(200, (buffer, headers, sequence) => Requests.Approve(buffer, headers, User(sequence), $"journey-{sequence}")),
                new(200, (buffer, headers, sequence) => Requests.Get(buffer, headers, $"journey-{sequence}")),
            ];

            static string User(long sequence) => Requests.User(0xA1C1_0000_0000, sequence % Users);
        }
    }

    // All connections create for the same user, until that one has enough.
    private static IReadOnlyList<Step> CreatesInTurn
    {
        get
        {
            var created = -1L;
            return
            [
                new(200, (buffer, headers, sequence) =>
                {
                    var user = Requests.User(0xA1C5_0000_0000, Interlocked.Increment(ref created) / CreatesOfOneUser);
                    return Requests.Create(buffer, headers, user, $"alone-{sequence}");
                }),
            ];
        }
    }

    public static async Task<IReadOnlyList<Step>> PrepareWarmAsync(Server server, Options options, CancellationToken cancellationToken)
    {
        await HoldAsync(server, "warm", WarmOperations, number => Requests.User(0xA1C2_0000_0000, number), cancellationToken);
        await RequireAsync(server, (buffer, headers, _) => Requests.Get(buffer, headers, "warm-0"), ["\"operationId\":\"warm-0\"", "\"operationPayload\":\"Approve"], cancellationToken);
        return [new(200, (buffer, headers, sequence) => Requests.Get(buffer, headers, $"warm-{sequence % WarmOperations}"))];
    }

    private static async Task<IReadOnlyList<Step>> PrepareDuplicateAsync(Server server, Options options, CancellationToken cancellationToken)
    {
        await HoldAsync(server, "twice", Duplicates, User, cancellationToken);
        return [new(409, (buffer, headers, sequence) => Requests.Create(buffer, headers, User(sequence % Duplicates), $"twice-{sequence % Duplicates}"))];

        static string User(long number) => Requests.User(0xA1C3_0000_0000, number);
    }

    // Each operation is asked for once in a run. Their number is bounded, because each read leaves an activation until its age is over.
    private static async Task<IReadOnlyList<Step>> PrepareColdAsync(Server server, Options options, CancellationToken cancellationToken)
    {
        var count = ((options.Rounds + 2) * MostCold) + 1;
        var next = Interlocked.Add(ref coldOperations, count) - count;
        await Seed.InsertAsync(server, "cold", next, count, cancellationToken);
        await RequireAsync(server, (buffer, headers, _) => Requests.Get(buffer, headers, $"cold-{next}"), [$"\"operationId\":\"cold-{next}\"", "\"result\":true"], cancellationToken);
        return [new(200, (buffer, headers, _) => Requests.Get(buffer, headers, $"cold-{Interlocked.Increment(ref next)}"))];
    }

    public static async Task<IReadOnlyList<Step>> PrepareListAsync(Server server, Options options, CancellationToken cancellationToken)
    {
        const int Lists = 1_000;
        const long FirstUser = 0xA1C4_0000_0000;
        await HoldListsAsync(server, "waiting", Lists, pending: 3, FirstUser, cancellationToken);
        return [new(200, (buffer, headers, sequence) => Requests.ListPending(buffer, headers, Requests.User(FirstUser, sequence % Lists)))];
    }

    private static async Task<IReadOnlyList<Step>> PrepareListAgainAsync(Server server, Options options, CancellationToken cancellationToken)
    {
        const long FirstUser = 0xA1C6_0000_0000;
        await HoldListsAsync(server, "again", ListsInTurn, pending: 25, FirstUser, cancellationToken);

        // Counted by itself: the numbers of a run jump while other servers have their rounds.
        var asked = -1L;
        return
        [
            new(200, (buffer, headers, _) => Requests.ListPending(buffer, headers, Requests.User(FirstUser, Interlocked.Increment(ref asked) % ListsInTurn)))
            {
                Pace = new(ListsPerSecond),
            },
        ];
    }

    private static async Task HoldListsAsync(Server server, string prefix, int lists, int pending, long firstUser, CancellationToken cancellationToken)
    {
        await HoldAsync(server, prefix, lists * pending, number => Requests.User(firstUser, number % lists), cancellationToken);
        if (server.Contestant.Storing is Storing.BaselineTable)
        {
            await server.Database.ExecuteAsync(IndexOfPending(server.Database.Engine), cancellationToken);
        }

        await RequireAsync(
            server,
            (buffer, headers, _) => Requests.ListPending(buffer, headers, Requests.User(firstUser, 0)),
            [.. Enumerable.Range(0, pending).Select(number => $"\"operationId\":\"{prefix}-{number * lists}\"")],
            cancellationToken);
    }

    private static string IndexOfPending(string engine)
    {
        const string Create = "CREATE INDEX ix_pending ON operations (user_id) WHERE status = 0";
        return engine is Engine.SqlServer
            ? $"IF NOT EXISTS (SELECT 1 FROM sys.indexes WHERE name = 'ix_pending') {Create}"
            : Create.Replace("INDEX", "INDEX IF NOT EXISTS", StringComparison.Ordinal);
    }

    /// <summary>Creates the operations over the API, unless a former call has.</summary>
    private static async Task HoldAsync(Server server, string prefix, int count, Func<long, string> userOf, CancellationToken cancellationToken)
    {
        var probe = new Step(200, (buffer, headers, _) => Requests.Get(buffer, headers, $"{prefix}-0"));
        if (server.Contestant.Storing is Storing.Nothing || await LoadGenerator.StatusOfAsync(server.Door, probe, cancellationToken) != 404)
        {
            return;
        }

        var number = -1L;
        var create = new Step(200, (buffer, headers, _) =>
        {
            var next = Interlocked.Increment(ref number);
            return Requests.Create(buffer, headers, userOf(next), $"{prefix}-{next}");
        });
        await LoadGenerator.RunAsync([server.Door], [create], connections: 64, LoadGenerator.For(count), cancellationToken);
    }

    /// <summary>A server that answers quickly must also answer rightly.</summary>
    private static async Task RequireAsync(Server server, RequestWriter write, string[] parts, CancellationToken cancellationToken)
    {
        var answer = await LoadGenerator.AskAsync(server.Door, new Step(200, write), cancellationToken);
        if (server.Contestant.Storing is not Storing.Nothing && !parts.All(part => answer.Contains(part, StringComparison.Ordinal)))
        {
            throw server.Failure($"does not give back what it holds, but {answer}");
        }
    }
}
