using System.Buffers;
using System.Collections.Immutable;
using System.Text.Json;
using Recognize.Orleans.Api;
using Recognize.Orleans.Customers;

namespace Recognize.Orleans.Operations.Pending;

/// <summary>
/// The pending lists that this process sends. Clients that read or follow the list of one user at the same time share
/// one call to the user's grain and one rendering of its answer.
/// </summary>
internal sealed class PendingLists(IGrainFactory grains, CustomerQuotas quotas, TimeProvider clock)
{
    private readonly Lock gate = new();
    private readonly Dictionary<GrainId, SharedList> lists = [];

    /// <summary>Adds a client that reads or follows a user's list.</summary>
    public Reader Join(UserKey key)
    {
        var user = grains.GetUser<IPendingListGrain>(key);
        var id = user.GetGrainId();
        lock (gate)
        {
            if (!lists.TryGetValue(id, out var list))
            {
                lists.Add(id, list = new(key.Customer, user, quotas, clock));
            }

            list.Readers++;
            return new(this, id, list);
        }
    }

    private void Leave(GrainId user, SharedList list)
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
    public sealed class Reader : IDisposable
    {
        private readonly PendingLists owner;
        private readonly SharedList list;
        private RenderedList? held;

        internal Reader(PendingLists owner, GrainId user, SharedList list) => (this.owner, User, this.list) = (owner, user, list);

        public GrainId User { get; }

        /// <summary>The current list. Its bytes are kept until <see cref="Release"/> or the next call.</summary>
        /// <param name="has">
        /// Whether the client already has the content of a tag and needs no bytes of it. Called on any thread, even
        /// after the client has gone away.
        /// </param>
        public async Task<RenderedList> AskAsync(Func<string, bool> has)
        {
            Release();
            var answer = await list.AskAsync(has);
            held = answer;
            if (has(answer.Tag))
            {
                Release();
            }

            return answer;
        }

        /// <summary>The client has received the bytes, or does not need them.</summary>
        public void Release()
        {
            held?.Release(1);
            held = null;
        }

        public void Dispose()
        {
            Release();
            owner.Leave(User, list);
        }
    }

    // Like SingleFlight, but for many threads instead of one grain, and with a hold on the answer for each client.
    internal sealed class SharedList(string customer, IPendingListGrain user, CustomerQuotas quotas, TimeProvider clock)
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
        public Task<RenderedList> AskAsync(Func<string, bool> has)
        {
            lock (gate)
            {
                var mine = next ??= new();
                mine.Clients.Add(has);
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
                question.Answer.SetResult(await ListAsync(question.Clients));
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

        private async Task<RenderedList> ListAsync(List<Func<string, bool>> clients)
        {
            // Held before the call, so that its bytes are still there when the grain answers that nothing has changed.
            var known = latest?.TryHold(clients) is true ? latest : null;
            var isKnown = false;
            PendingSnapshot snapshot;
            try
            {
                snapshot = await GrainRetry.CallAsync(clock, () => user.ListUnlessAsync(known?.Version, evenLarge: false));
                isKnown = known?.Version == snapshot.Version;
            }
            finally
            {
                if (!isKnown)
                {
                    // Released before another list takes quota, because the bytes of this one may be using it.
                    known?.Release(clients.Count);
                }
            }

            return isKnown ? known! : latest = snapshot.Operations is { } operations
                ? await RenderedList.RenderAsync(snapshot.Version, operations, clients.Count, static _ => ValueTask.CompletedTask)
                : await RenderLargeAsync(clients.Count);
        }

        private async Task<RenderedList> RenderLargeAsync(int holders)
        {
            using var turn = await quotas.TakeRenderTurnAsync(customer);
            var snapshot = await GrainRetry.CallAsync(clock, () => user.ListUnlessAsync(known: null, evenLarge: true));
            var list = await RenderedList.RenderAsync(snapshot.Version, snapshot.Operations!.Value, holders, bytes => quotas.PaceRenderAsync(customer, bytes));

            // Still in the turn, so that each customer has at most one list in memory without quota.
            list.Room = await quotas.ReserveUnreadAsync(customer, list.Length);
            return list;
        }

        private sealed class Question
        {
            public List<Func<string, bool>> Clients { get; } = new(1);

            public TaskCompletionSource<RenderedList> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
        }
    }
}

/// <summary>A user's pending operations as they are sent. The bytes are kept while a client holds them.</summary>
internal sealed class RenderedList
{
    // How much is rendered, copied and sent at once: little enough for other work to run in between.
    private const int PartBytes = 32_768;

    private readonly Lock gate = new();
    private IReadOnlyList<byte[]>? parts;
    private IDisposable? room;
    private int holders;

    private RenderedList(long version, IReadOnlyList<byte[]> parts, string tag, DateTimeOffset? due, int holders)
    {
        this.parts = parts;
        this.holders = holders;
        Version = version;
        Length = parts.Sum(part => (long)part.Length);
        Tag = tag;
        Due = due;
    }

    /// <summary>The version that the user's grain gave to this content.</summary>
    public long Version { get; }

    /// <summary>Identifies exactly this content, on every node.</summary>
    public string Tag { get; }

    /// <summary>When the next of the operations expires.</summary>
    public DateTimeOffset? Due { get; }

    /// <summary>In bytes.</summary>
    public long Length { get; }

    /// <summary>The JSON array; only for clients that hold it.</summary>
    public IReadOnlyList<byte[]> Parts => parts ?? throw new InvalidOperationException("The client has this list.");

    /// <summary>The quota of the customer that it uses until no client holds the bytes.</summary>
    public IDisposable? Room { set => room = value; }

    /// <param name="version">The version of the operations.</param>
    /// <param name="operations">The operations to render.</param>
    /// <param name="holders">How many clients hold it from the start.</param>
    /// <param name="paceAsync">Completes when this many more bytes may be rendered.</param>
    public static async Task<RenderedList> RenderAsync(long version, ImmutableArray<Operation> operations, int holders, Func<long, ValueTask> paceAsync)
    {
        var parts = new List<byte[]>(1);
        var buffer = new ArrayBufferWriter<byte>();
        await using var json = new Utf8JsonWriter(buffer, ApiJson.Writing);
        json.WriteStartArray();
        foreach (var operation in operations)
        {
            JsonSerializer.Serialize(json, PendingOperationBody.From(operation), UserJson.Web.PendingOperationBody);
            if (buffer.WrittenCount + json.BytesPending >= PartBytes)
            {
                Cut();
                await paceAsync(parts[^1].Length);
                await Task.Yield();
            }
        }

        json.WriteEndArray();
        Cut();
        return new(version, parts, await Conditions.TagOfAsync(parts), operations.Min(operation => operation.ExpiresAt), holders);

        void Cut()
        {
            json.Flush();
            parts.Add(buffer.WrittenSpan.ToArray());
            buffer.ResetWrittenCount();
        }
    }

    /// <summary>Adds one hold for each client.</summary>
    /// <returns>False when the bytes are gone and one of the clients needs them.</returns>
    public bool TryHold(IReadOnlyCollection<Func<string, bool>> clients)
    {
        lock (gate)
        {
            if (parts is null && !clients.All(has => has(Tag)))
            {
                return false;
            }

            holders += clients.Count;
            return true;
        }
    }

    /// <summary>Releases the holds of this many clients.</summary>
    public void Release(int clients)
    {
        lock (gate)
        {
            holders -= clients;
            if (holders > 0)
            {
                return;
            }

            parts = null;
        }

        Interlocked.Exchange(ref room, null)?.Dispose();
    }
}
