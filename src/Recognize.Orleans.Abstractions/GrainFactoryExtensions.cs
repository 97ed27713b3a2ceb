using System.Reflection;

namespace Recognize.Orleans;

/// <summary>How grains of the service are addressed.</summary>
public static class GrainFactoryExtensions
{
    // The prefix keeps Orleans' ADO.NET storage from reading a key as a number or a GUID, which would make "1" and "01"
    // one row. The trailing slash keeps "a" and "a " apart on SQL Server, which ignores trailing blanks in comparisons.
    // The same storage uses a key as a format string, so a brace would make a write fail after it reached the database.
    // Two control characters, which no id contains, replace the braces and keep the key as short as the id.
    private const char OpeningBrace = '\u0001';
    private const char ClosingBrace = '\u0002';

    // The types that the grains declare. Given only an interface, Orleans looks up both names in attributes on every
    // call.
    private static readonly GrainType Operation = GrainType.Create("recognize.operation");
    private static readonly GrainType User = GrainType.Create("recognize.user");

    /// <summary>The operation <paramref name="operationId"/> of <paramref name="customer"/>.</summary>
    /// <param name="grains">A silo's or a client's grain factory.</param>
    /// <param name="customer">The customer's configured name in lower case.</param>
    /// <param name="operationId">
    /// The client's id of the operation; must keep the rules of <see cref="OperationLimits"/>.
    /// </param>
    /// <exception cref="ArgumentException">The id or the customer's name breaks a rule.</exception>
    public static IOperationGrain GetOperation(this IGrainFactory grains, string customer, string operationId) =>
        grains.GetOperation<IOperationGrain>(customer, operationId);

    /// <summary>The user <paramref name="userId"/> of <paramref name="customer"/>.</summary>
    /// <param name="grains">A silo's or a client's grain factory.</param>
    /// <param name="customer">The customer's configured name in lower case.</param>
    /// <param name="userId">1 to 128 upper-case hexadecimal digits.</param>
    /// <exception cref="ArgumentException">The id or the customer's name breaks a rule.</exception>
    public static IUserGrain GetUser(this IGrainFactory grains, string customer, string userId) =>
        grains.GetUser<IUserGrain>(customer, userId);

    /// <summary>
    /// Like <see cref="GetOperation(IGrainFactory, string, string)"/>, through another interface of the same grain.
    /// </summary>
    internal static TInterface GetOperation<TInterface>(this IGrainFactory grains, string customer, string operationId)
        where TInterface : IGrainWithStringKey
    {
        Require(OperationLimits.ErrorInCustomer(customer), nameof(customer));
        Require(OperationLimits.ErrorInOperationId(operationId), nameof(operationId));
        return Get<TInterface>(grains, OperationGrainId(customer, operationId));
    }

    /// <summary>The grain id of an operation; its id and customer must already be validated.</summary>
    internal static GrainId OperationGrainId(string customer, string operationId) =>
        GrainId.Create(Operation, $"op/{customer}/{operationId.Replace('{', OpeningBrace).Replace('}', ClosingBrace)}/");

    /// <summary>
    /// Like <see cref="GetUser(IGrainFactory, string, string)"/>, through another interface of the same grain.
    /// </summary>
    internal static TInterface GetUser<TInterface>(this IGrainFactory grains, string customer, string userId)
        where TInterface : IGrainWithStringKey
    {
        Require(OperationLimits.ErrorInCustomer(customer), nameof(customer));
        Require(OperationLimits.ErrorInUserId(userId), nameof(userId));
        return Get<TInterface>(grains, GrainId.Create(User, $"user/{customer}/{userId}/"));
    }

    /// <summary>Splits a key into the customer and the id.</summary>
    /// <param name="key">
    /// A key that <see cref="GetOperation(IGrainFactory, string, string)"/> or
    /// <see cref="GetUser(IGrainFactory, string, string)"/> made.
    /// </param>
    internal static (string Customer, string Id) ParseKey(string key)
    {
        ArgumentNullException.ThrowIfNull(key);
        var customer = key.IndexOf('/', StringComparison.Ordinal) + 1;
        var id = key.IndexOf('/', customer) + 1;
        return (key[customer..(id - 1)], key[id..^1].Replace(OpeningBrace, '{').Replace(ClosingBrace, '}'));
    }

    private static TInterface Get<TInterface>(IGrainFactory grains, GrainId id)
        where TInterface : IGrainWithStringKey
    {
        ArgumentNullException.ThrowIfNull(grains);
        return (TInterface)grains.GetGrain(id, NameOf<TInterface>.Value);
    }

    private static void Require(string? error, string parameter)
    {
        if (error is not null)
        {
            throw new ArgumentException(error, parameter);
        }
    }

    private static class NameOf<TInterface>
    {
        public static readonly GrainInterfaceType Value =
            typeof(TInterface).GetCustomAttribute<GrainInterfaceTypeAttribute>()!.GetGrainInterfaceType(services: null!, typeof(TInterface));
    }
}
