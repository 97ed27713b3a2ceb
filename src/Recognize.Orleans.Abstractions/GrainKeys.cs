namespace Recognize.Orleans;

/// <summary>Names one user of one customer.</summary>
/// <param name="Customer">The customer's configured name in lower case.</param>
/// <param name="UserId">1 to 128 upper-case hexadecimal digits.</param>
public readonly record struct UserKey(string Customer, string UserId)
{
    /// <summary>The key of the user's grain.</summary>
    public override string ToString() => $"user/{Customer}/{UserId}/";

    /// <summary>Reads what <see cref="ToString"/> has written.</summary>
    internal static UserKey Parse(string grainKey)
    {
        var (customer, id) = GrainKey.Split(grainKey);
        return new(customer, id);
    }
}

/// <summary>Names one operation of one customer.</summary>
/// <param name="Customer">The customer's configured name in lower case.</param>
/// <param name="OperationId">
/// The client's id of the operation; must keep the rules of <see cref="OperationLimits"/>.
/// </param>
public readonly record struct OperationKey(string Customer, string OperationId)
{
    // Orleans' ADO.NET storage uses a key as a format string, so a brace would make a write fail after it reached the
    // database. Two control characters, which no id contains, replace the braces and keep the key as short as the id.
    private const char OpeningBrace = '\u0001';
    private const char ClosingBrace = '\u0002';

    /// <summary>The key of the operation's grain.</summary>
    public override string ToString() => $"op/{Customer}/{OperationId.Replace('{', OpeningBrace).Replace('}', ClosingBrace)}/";

    /// <summary>Reads what <see cref="ToString"/> has written.</summary>
    internal static OperationKey Parse(string grainKey)
    {
        var (customer, id) = GrainKey.Split(grainKey);
        return new(customer, id.Replace(OpeningBrace, '{').Replace(ClosingBrace, '}'));
    }
}

/// <summary>The form of all keys: <c>kind/customer/id/</c>.</summary>
// The kind keeps Orleans' ADO.NET storage from reading a key as a number or a GUID, which would make "1" and "01" one
// row. The trailing slash keeps "a" and "a " apart on SQL Server, which ignores trailing blanks in comparisons.
internal static class GrainKey
{
    public static (string Customer, string Id) Split(string key)
    {
        var customer = key.IndexOf('/', StringComparison.Ordinal) + 1;
        var id = key.IndexOf('/', customer) + 1;
        return (key[customer..(id - 1)], key[id..^1]);
    }
}
