using System.Collections.Immutable;
using System.Text.Json;
using Recognize.Orleans.Api;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// The pending lists that this process sends. Clients that read or follow the list of one user at the same time share
/// one call to the user's grain and one rendering of its answer.
/// </summary>
internal sealed class PendingLists(IGrainFactory grains, UnreadBytes unread, TimeProvider clock)
{
    private readonly Lock gate = new();
    private readonly Dictionary<UserKey, SharedList> lists = [];

    /// <summary>Adds a client that reads or follows a user's list.</summary>
    public Reader Join(UserKey user)
    {
        var grain = grains.GetUser<IPendingListGrain>(user);
        lock (gate)
        {
            if (!lists.TryGetValue(user, out var list))
            {
                lists.Add(user, list = new(user.Customer, grain, unread, clock));
            }

            list.Readers++;
            return new(grain.GetGrainId(), list, () => Leave(user, list));
        }
    }

    private void Leave(UserKey user, SharedList list)
    {
        lock (gate)
        {
            if (--list.Readers == 0)
            {
                lists.Remove(user);
            }
        }
    }

    /// <summary>One client that reads or follows a user's list.</summary>
    public sealed class Reader(GrainId user, SharedList list, Action leave) : IDisposable
    {
        private RenderedList? held;
        private RenderedList? known;

        public GrainId User => user;

        /// <summary>
        /// The current list. Its bytes are kept until <see cref="Release"/> or the next call, unless they are those that
        /// the client has.
        /// </summary>
        public async Task<RenderedList> AskAsync()
        {
            Drop();
            var answer = await list.AskAsync(known);
            held = answer == known ? null : answer;
            return answer;
        }

        /// <summary>The client has the bytes of the last answer, and needs them no more.</summary>
        public void Release()
        {
            known = held ?? known;
            Drop();
        }

        public void Dispose()
        {
            Drop();
            leave();
        }

        private void Drop()
        {
            held?.Release();
            held = null;
        }
    }

    // Like SingleFlight, but for many threads instead of one grain, and with a hold on the answer for each client.
    internal sealed class SharedList(string customer, IPendingListGrain user, UnreadBytes unread, TimeProvider clock)
    {
        private readonly Lock gate = new();
        private RenderedList? latest;
        private Question? running;
        private Question? next;

        /// <summary>How many clients share it. Guarded by the lock of <see cref="PendingLists"/>.</summary>
        public int Readers { get; set; }

        // The answer must come from a call that began after the client's request, so that it includes everything
        // created before. A client that goes away still waits for the answer, because its call counts for as long as
        // the service works for it.
        public Task<RenderedList> AskAsync(RenderedList? known)
        {
            lock (gate)
            {
                var mine = next ??= new();
                mine.Known.Add(known);
                if (running is null)
                {
                    Begin();
                }

                return mine.Answer.Task;
            }
        }

        private void Begin()
        {
            (running, next) = (next, null);
            if (running is not null)
            {
                _ = AnswerAsync(running);
            }
        }

        private async Task AnswerAsync(Question question)
        {
            try
            {
                latest = await ListAsync(question.Known);
                question.Answer.SetResult(latest);
            }
            catch (Exception exception)
            {
                question.Answer.SetException(exception);
            }

            lock (gate)
            {
                Begin();
            }
        }

        private async Task<RenderedList> ListAsync(List<RenderedList?> known)
        {
            var snapshot = await CallAsync(latest?.Version);
            if (latest is { } same && snapshot.Version == same.Version)
            {
                if (same.TryHold(known.Count(one => one != same)))
                {
                    return same;
                }

                // Its bytes are gone, and somebody needs them.
                snapshot = await CallAsync(known: null);
            }

            // Room is taken first, so that no large list is in memory without it.
            var operations = snapshot.Operations!.Value;
            var bytes = SentBytes.OfBrackets + operations.Sum(SentBytes.Of);
            var room = bytes > Sending.PartBytes ? await unread.ReserveAsync(customer, bytes) : null;
            return new(snapshot.Version, operations, room, known.Count);
        }

        private Task<PendingSnapshot> CallAsync(long? known) => GrainRetry.CallAsync(clock, () => user.ListUnlessAsync(known));

        /// <summary>A call that clients share, each with the list that it has.</summary>
        private sealed class Question
        {
            public List<RenderedList?> Known { get; } = new(1);

            public TaskCompletionSource<RenderedList> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}

/// <summary>A user's pending operations as they are sent. The bytes are kept while a client holds them.</summary>
internal sealed class RenderedList
{
    private readonly Lock gate = new();
    private readonly IDisposable? room;
    private byte[]? body;
    private int holders;

    /// <param name="version">The version of the operations.</param>
    /// <param name="operations">The operations to render.</param>
    /// <param name="room">What it takes until no client holds the bytes.</param>
    /// <param name="holders">How many clients hold it from the start.</param>
    public RenderedList(long version, ImmutableArray<Operation> operations, IDisposable? room, int holders)
    {
        body = JsonSerializer.SerializeToUtf8Bytes([.. operations.Select(PendingOperationBody.From)], UserJson.Web.IReadOnlyListPendingOperationBody);
        this.room = room;
        this.holders = holders;
        Version = version;
        Tag = Conditions.TagOf(body);
        Due = operations.Min(operation => operation.ExpiresAt);
    }

    /// <summary>The version that the user's grain gave to this content.</summary>
    public long Version { get; }

    /// <summary>Identifies exactly this content, on every node.</summary>
    public string Tag { get; }

    /// <summary>When the next of the operations expires.</summary>
    public DateTimeOffset? Due { get; }

    /// <summary>The JSON array; only for clients that hold it.</summary>
    public byte[] Body => body ?? throw new InvalidOperationException("The client has this list.");

    /// <summary>Adds a hold for each of some clients.</summary>
    /// <returns>False when the bytes are gone that they need.</returns>
    public bool TryHold(int clients)
    {
        lock (gate)
        {
            if (body is null && clients > 0)
            {
                return false;
            }

            holders += clients;
            return true;
        }
    }

    /// <summary>Releases the hold of a client.</summary>
    public void Release()
    {
        lock (gate)
        {
            if (--holders > 0)
            {
                return;
            }

            body = null;
        }

        room?.Dispose();
    }
}
