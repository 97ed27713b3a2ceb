using Recognize.Orleans.Foundation;

namespace Recognize.Orleans.Api;

/// <summary>Limits on the calls of one customer to this process.</summary>
internal sealed record CallSettings
{
    /// <summary>Calls in flight.</summary>
    public required int PerCustomer { get; init; }

    /// <summary>Calls per second on average, and the largest burst; null: no limit.</summary>
    public required int? PerSecond { get; init; }

    public static CallSettings Read(SettingsReader reader) => new()
    {
        PerCustomer = reader.Number("Recognize:Calls:PerCustomer", 256, 1, 100_000),
        PerSecond = reader.OptionalNumber("Recognize:Calls:PerSecond", 1, 1_000_000),
    };
}

/// <summary>How many clients may wait for a change or listen to a stream at once.</summary>
internal sealed record WaitSettings
{
    private const string PerCustomerKey = "Recognize:Waits:PerCustomer";
    private const string PerProcessKey = "Recognize:Waits:PerProcess";

    /// <summary>The limit for one customer in this process.</summary>
    public required int PerCustomer { get; init; }

    public required int PerProcess { get; init; }

    public static WaitSettings Read(SettingsReader reader)
    {
        var perProcess = reader.Number(PerProcessKey, 20_000, 2, 1_000_000);
        var half = perProcess / 2;
        var perCustomer = reader.Number(PerCustomerKey, half, 1, 1_000_000);
        if (perCustomer > half)
        {
            reader.AddError($"{PerCustomerKey} must be at most {half}, which is half of {PerProcessKey}, so that one customer can never take all of them; it is {perCustomer}.");
        }

        return new() { PerCustomer = perCustomer, PerProcess = perProcess };
    }
}
