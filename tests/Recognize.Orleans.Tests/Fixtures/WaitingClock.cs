using System.Threading.Channels;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Orleans.TestingHost;
using Recognize.Orleans.Api;
using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Fixtures;

/// <summary>A clock that stands still until it is moved, and that tells when a client of a service goes to sleep.</summary>
internal sealed class WaitingClock() : FakeTimeProvider(new DateTimeOffset(2025, 5, 21, 10, 30, 0, TimeSpan.Zero))
{
    private readonly Channel<ITimer> parked = Channel.CreateUnbounded<ITimer>();
    private readonly Channel<TimeSpan> unread = Channel.CreateUnbounded<TimeSpan>();
    private readonly Channel<ITimer> rooms = Channel.CreateUnbounded<ITimer>();

    /// <summary>Starts a service that knows no other time.</summary>
    public static Task<TestService> StartServiceAsync(WaitingClock clock, Dictionary<string, string?>? settings = null, Action<WebApplicationBuilder>? configure = null) =>
        TestService.StartAsync(StorageEngine.Sqlite, settings, builder =>
        {
            builder.Services.AddSingleton<TimeProvider>(clock);
            builder.Services.UseTimeProviderForBackgroundAreas(TimeProvider.System);
            configure?.Invoke(builder);
        });

    /// <summary>Completes when a client has gone to sleep once more than this was asked before.</summary>
    public Task ParkedAsync() => parked.Reader.ReadAsync().AsTask().WaitAsync(ClusterFixture.Patience);

    /// <summary>Lets time pass so many times, and so many clients wake up and go to sleep again each time.</summary>
    public Task SleepOnAsync(int times, TimeSpan pause, int clients) => InOrder.RepeatAsync(times, async () =>
    {
        Advance(pause);
        await InOrder.RepeatAsync(clients, ParkedAsync);
    });

    /// <summary>Completes when a large answer has asked for room once more than this was asked before.</summary>
    public Task RoomAskedAsync() => rooms.Reader.ReadAsync().AsTask().WaitAsync(ClusterFixture.Patience);

    /// <summary>Lets the time pass after which a client is cut off that reads nothing, whenever the service waits for one, until it is.</summary>
    public async Task CutOffAsync(Task closed)
    {
        while (!closed.IsCompleted)
        {
            var next = unread.Reader.WaitToReadAsync().AsTask();
            await Task.WhenAny(closed, next).WaitAsync(ClusterFixture.Patience);
            Advance(unread.Reader.TryRead(out var patience) ? patience : TimeSpan.Zero);
        }
    }

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
    {
        var timer = base.CreateTimer(callback, state, dueTime, period);
        if (callback.Method.DeclaringType == typeof(Wait))
        {
            parked.Writer.TryWrite(timer);
        }
        else if (dueTime == UnreadBytes.LongestWait)
        {
            rooms.Writer.TryWrite(timer);
        }
        else if (dueTime >= Sending.LongestUnread && dueTime < TimeSpan.FromMinutes(20))
        {
            unread.Writer.TryWrite(dueTime);
        }

        return timer;
    }
}
