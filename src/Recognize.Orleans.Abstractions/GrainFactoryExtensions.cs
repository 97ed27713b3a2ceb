namespace Recognize.Orleans;

/// <summary>How grains of the service are addressed.</summary>
public static class GrainFactoryExtensions
{
    // The prefix keeps Orleans' ADO.NET storage from reading a key as a number or a GUID, which would make "1" and "01" one
    // row. The slash at the end keeps "a" and "a " apart on SQL Server, which ignores trailing blanks when it compares.
    // The same storage reads a key as a format string, so that braces would make a write fail after it reached the database:
    // two control characters, which no id holds, stand in for them and keep the key as short as the id.
    private const char OpeningBrace = '\u0001';
    private const char ClosingBrace = '\u0002';

    /// <summary>The operation <paramref name="operationId"/> of <paramref name="customer"/>.</summary>
    /// <param name="grains">A silo's or a client's grain factory.</param>
    /// <param name="customer">The customer's configured name in lower case.</param>
    /// <param name="operationId">The client's id of the operation; must keep the rules of <see cref="OperationLimits"/>.</param>
    /// <exception cref="ArgumentException">The id or the customer's name breaks a rule.</exception>
    public static IOperationGrain GetOperation(this IGrainFactory grains, string customer, string operationId)
    {
        ArgumentNullException.ThrowIfNull(grains);
        Require(OperationLimits.FaultInCustomer(customer), nameof(customer));
        Require(OperationLimits.FaultInOperationId(operationId), nameof(operationId));
        return grains.GetGrain<IOperationGrain>($"op/{customer}/{operationId.Replace('{', OpeningBrace).Replace('}', ClosingBrace)}/");
    }

    /// <summary>The user <paramref name="userId"/> of <paramref name="customer"/>.</summary>
    /// <param name="grains">A silo's or a client's grain factory.</param>
    /// <param name="customer">The customer's configured name in lower case.</param>
    /// <param name="userId">1 to 128 upper-case hexadecimal digits.</param>
    /// <exception cref="ArgumentException">The id or the customer's name breaks a rule.</exception>
    public static IUserGrain GetUser(this IGrainFactory grains, string customer, string userId)
    {
        ArgumentNullException.ThrowIfNull(grains);
        return grains.GetGrain<IUserGrain>(UserKey(customer, userId));
    }

    /// <summary>The key of a user's grain, whichever of its interfaces is asked for.</summary>
    internal static string UserKey(string customer, string userId)
    {
        Require(OperationLimits.FaultInCustomer(customer), nameof(customer));
        Require(OperationLimits.FaultInUserId(userId), nameof(userId));
        return $"user/{customer}/{userId}/";
    }

    /// <summary>Takes a key apart again.</summary>
    /// <param name="key">A key that <see cref="GetOperation"/> or <see cref="GetUser"/> made.</param>
    internal static (string Customer, string Id) ParseKey(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        var customer = key.IndexOf('/', StringComparison.Ordinal) + 1;
        var id = key.IndexOf('/', customer) + 1;
        return (key[customer..(id - 1)], key[id..^1].Replace(OpeningBrace, '{').Replace(ClosingBrace, '}'));
    }

    private static void Require(string? fault, string parameter)
    {
        if (fault is not null)
        {
            throw new ArgumentException(fault, parameter);
        }
    }
}
