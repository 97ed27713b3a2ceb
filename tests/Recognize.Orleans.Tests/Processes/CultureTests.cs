using System.Globalization;
using Recognize.Orleans.Fixtures;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Processes;

/// <summary>The service under a language whose calendar counts from another year and whose decimals have a comma.</summary>
public sealed class CultureTests
{
    [SkippableTheory]
    [InlineData("th_TH.UTF-8", "th-TH")]
    [InlineData("ar_SA.UTF-8", "ar-SA")]
    public async Task Log_times_are_those_of_the_calendar_of_utc_whatever_the_language(string language, string culture)
    {
        Skip.If(CultureInfo.GetCultureInfo(culture).Calendar is GregorianCalendar, "This machine has no ICU, so that .NET knows no language.");
        await using var database = await TestDatabase.CreateAsync(StorageEngine.Sqlite, applySchema: false);

        await using var service = await ServiceProcess.StartAsync(database, "node-1", ("LANG", language), ("LC_ALL", language));

        var line = Assert.Single(service.Output, line => line.Contains(" started as node ", StringComparison.Ordinal));
        var time = DateTime.ParseExact(line.Split(' ')[0], "yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
        Assert.InRange(time, DateTime.UtcNow.AddHours(-1), DateTime.UtcNow.AddHours(1));
    }
}
