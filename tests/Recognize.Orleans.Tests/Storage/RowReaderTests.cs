using System.Threading.Channels;
using Microsoft.Extensions.Logging.Abstractions;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Storage;

// The queues of the reader, on rows that are the test's. What the engines do with the questions is in the tests of the group commit.
public sealed class RowReaderTests : IAsyncLifetime, IDisposable
{
    private static readonly RowKey Row = new("operation", GrainId.Create("operation", "op/acme/1/"));

    [System.Diagnostics.CodeAnalysis.SuppressMessage("Reliability", "CA2213", Justification = "The reader disposes of its rows.")]
    private readonly HeldRows rows = new();
    private readonly Database database = Database.Create(StorageEngine.Sqlite, "Data Source=none.db");
    private readonly RowReader reader;

    public RowReaderTests() => reader = new(rows, new(database, TimeProvider.System, NullLogger<StorageFaults>.Instance), new());

    public Task InitializeAsync()
    {
        reader.Start();
        return Task.CompletedTask;
    }

    public void Dispose() => reader.Dispose();

    Task IAsyncLifetime.DisposeAsync() => reader.StopAsync(new CancellationToken(canceled: true)).WaitAsync(ClusterFixture.Patience);

    [Fact]
    public async Task Whatever_waits_while_a_question_is_on_its_way_shares_the_next()
    {
        var first = Ask("1");
        var held = await rows.NextAsync();
        var waiting = Enumerable.Range(2, 20).Select(number => Ask($"{number}")).ToList();
        held.Answer();
        var shared = await rows.NextAsync();
        shared.Answer();

        Assert.Equal(["1"], held.Questions);
        Assert.Equal(Enumerable.Range(2, 20).Select(number => $"{number}"), shared.Questions);
        Assert.Equal("1", Assert.Single(await first).Key);
        Assert.Equal(shared.Questions, (await Task.WhenAll(waiting)).Select(found => Assert.Single(found).Key));
    }

    [Fact]
    public async Task A_group_that_is_refused_is_asked_one_by_one_and_only_who_spoils_it_fails()
    {
        var asked = await HeldGroupAsync("1", "bad", "2");

        asked.Group.Refuse();
        (await rows.NextAsync()).Answer();
        (await rows.NextAsync()).Refuse();
        (await rows.NextAsync()).Answer();

        var fault = await Assert.ThrowsAsync<StorageFaultException>(() => asked.Answers[1]);
        Assert.False(fault.MayBeWritten);
        Assert.Equal("1", Assert.Single(await asked.Answers[0]).Key);
        Assert.Equal("2", Assert.Single(await asked.Answers[2]).Key);
    }

    [Fact]
    public async Task What_a_refused_group_has_answered_already_is_told_once()
    {
        var asked = await HeldGroupAsync("1", "bad");

        asked.Group.AnswerFirstAndRefuse();
        (await rows.NextAsync()).Answer();
        (await rows.NextAsync()).Refuse();

        Assert.Equal("1", Assert.Single(await asked.Answers[0]).Key);
        await Assert.ThrowsAsync<StorageFaultException>(() => asked.Answers[1]);
    }

    [Fact]
    public async Task A_connection_that_breaks_fails_the_group_after_one_attempt_and_the_next_question_is_asked()
    {
        var asked = await HeldGroupAsync("1", "2");

        asked.Group.Break();

        await Task.WhenAll(asked.Answers.Select(answer => Assert.ThrowsAsync<StorageFaultException>(() => answer)));
        var next = Ask("3");
        (await rows.NextAsync()).Answer();
        Assert.Equal("3", Assert.Single(await next).Key);
    }

    [Fact]
    public async Task A_range_that_takes_long_holds_up_no_row()
    {
        var range = Ask("1");
        var held = await rows.NextAsync();

        Assert.Equal(7, (await reader.ReadAsync(Row, CancellationToken.None).WaitAsync(ClusterFixture.Patience))!.Value.Version);

        held.Answer();
        await range;
    }

    [Fact]
    public async Task A_stop_without_patience_leaves_no_question_without_an_answer()
    {
        var first = Ask("1");
        await rows.NextAsync();
        var second = Ask("2");

        await reader.StopAsync(new CancellationToken(canceled: true)).WaitAsync(ClusterFixture.Patience);

        await Assert.ThrowsAsync<StorageFaultException>(() => first);
        await Assert.ThrowsAsync<StorageFaultException>(() => second);
        await Assert.ThrowsAsync<StorageBusyException>(() => Ask("3"));
        await Assert.ThrowsAsync<StorageBusyException>(() => reader.ReadAsync(Row, CancellationToken.None));
    }

    private async Task<List<RangeRow>> Ask(string after) =>
        await reader.ReadAsync(new RowRange(new(RowIndex.Open), after, "~", 10), CancellationToken.None).WaitAsync(ClusterFixture.Patience);

    // A group of several comes about behind a question that is on its way.
    private async Task<(List<Task<List<RangeRow>>> Answers, Question Group)> HeldGroupAsync(params string[] questions)
    {
        var first = Ask("first");
        var held = await rows.NextAsync();
        var answers = questions.Select(Ask).ToList();
        held.Answer();
        await first;
        return (answers, await rows.NextAsync());
    }

    private sealed class HeldRows : IRowStore
    {
        private readonly Channel<Question> asked = Channel.CreateUnbounded<Question>();

        /// <summary>The next question about ranges, which waits for what the test does with it.</summary>
        public async Task<Question> NextAsync() => await asked.Reader.ReadAsync().AsTask().WaitAsync(ClusterFixture.Patience);

        public Task WriteAsync(IReadOnlyList<WriteItem> group, DateTime until, CancellationToken cancellationToken) => throw new NotSupportedException();

        public Task ReadAsync(IReadOnlyList<ReadItem<RowKey, StoredRow?>> group, CancellationToken cancellationToken)
        {
            group[0].Answer = new(null, 7);
            return Task.CompletedTask;
        }

        public Task ReadRangesAsync(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group, CancellationToken cancellationToken)
        {
            var question = new Question([.. group]);
            asked.Writer.TryWrite(question);
            return question.Done.WaitAsync(cancellationToken);
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }

    private sealed class Question(IReadOnlyList<ReadItem<RowRange, List<RangeRow>>> group)
    {
        private readonly TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Task Done => done.Task;

        public IEnumerable<string> Questions => group.Select(item => item.Question.After);

        public void Answer()
        {
            group.ToList().ForEach(item => item.Answer.Add(new(item.Question.After)));
            done.SetResult();
        }

        public void AnswerFirstAndRefuse()
        {
            group[0].Answer.Add(new(group[0].Question.After));
            Refuse();
        }

        public void Refuse() => done.SetException(new GroupRefusedException(new IOException("No.")));

        public void Break() => done.SetException(new IOException("Cut."));
    }
}
