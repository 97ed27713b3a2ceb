using System.Net;
using Xunit;

namespace Recognize.Orleans.Hosting;

public sealed class DeparturesTests
{
    private static readonly SiloAddress Silo = SiloAddress.New(IPAddress.Loopback, 11_111, 1);

    private readonly Departures departures = new();

    [Theory]
    [InlineData(SiloStatus.ShuttingDown)]
    [InlineData(SiloStatus.Stopping)]
    public void A_silo_that_says_it_stops_has_left(SiloStatus said)
    {
        Assert.Null(departures.Note(Silo, SiloStatus.Active));
        Assert.Null(departures.Note(Silo, said));

        Assert.Equal(Departure.Left, departures.Note(Silo, SiloStatus.Dead));
    }

    [Fact]
    public void A_silo_that_is_dead_without_a_word_is_lost()
    {
        departures.Note(Silo, SiloStatus.Active);

        Assert.Equal(Departure.Lost, departures.Note(Silo, SiloStatus.Dead));
    }

    [Fact]
    public void A_row_that_is_removed_long_after_its_silo_ended_is_no_news()
    {
        departures.Note(Silo, SiloStatus.ShuttingDown);
        departures.Note(Silo, SiloStatus.Dead);

        Assert.Null(departures.Note(Silo, SiloStatus.Dead));
    }
}
