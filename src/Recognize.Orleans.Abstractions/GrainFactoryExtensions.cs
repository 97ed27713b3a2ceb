using System.Reflection;

namespace Recognize.Orleans;

/// <summary>How grains of the service are addressed.</summary>
public static class GrainFactoryExtensions
{
    // The types that the grains declare. Given only an interface, Orleans looks up both names in attributes on every
    // call.
    private static readonly GrainType Operation = GrainType.Create("recognize.operation");
    private static readonly GrainType User = GrainType.Create("recognize.user");

    /// <summary>An operation.</summary>
    /// <param name="grains">A silo's or a client's grain factory.</param>
    /// <param name="operation">The operation.</param>
    /// <exception cref="ArgumentException">Its id or the customer's name breaks a rule.</exception>
    public static IOperationGrain GetOperation(this IGrainFactory grains, OperationKey operation) => grains.GetOperation<IOperationGrain>(operation);

    /// <summary>A user.</summary>
    /// <param name="grains">A silo's or a client's grain factory.</param>
    /// <param name="user">The user.</param>
    /// <exception cref="ArgumentException">Its id or the customer's name breaks a rule.</exception>
    public static IUserGrain GetUser(this IGrainFactory grains, UserKey user) => grains.GetUser<IUserGrain>(user);

    /// <summary>Like <see cref="GetOperation"/>, through another interface of the same grain.</summary>
    internal static TInterface GetOperation<TInterface>(this IGrainFactory grains, OperationKey operation)
        where TInterface : IGrainWithStringKey
    {
        Require(OperationLimits.ErrorInCustomer(operation.Customer) ?? OperationLimits.ErrorInOperationId(operation.OperationId), nameof(operation));
        return Get<TInterface>(grains, GrainIdOf(operation));
    }

    /// <summary>Like <see cref="GetUser"/>, through another interface of the same grain.</summary>
    internal static TInterface GetUser<TInterface>(this IGrainFactory grains, UserKey user)
        where TInterface : IGrainWithStringKey
    {
        Require(OperationLimits.ErrorInCustomer(user.Customer) ?? OperationLimits.ErrorInUserId(user.UserId), nameof(user));
        return Get<TInterface>(grains, GrainId.Create(User, user.ToString()));
    }

    /// <summary>The grain id of an operation; its key must already be validated.</summary>
    internal static GrainId GrainIdOf(OperationKey operation) => GrainId.Create(Operation, operation.ToString());

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
