using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using Xunit;

namespace Recognize.Orleans.Storage;

public sealed class StorageFaultTests
{
    public static TheoryData<Exception> Faults => [new StorageFaultException(new IOException("The connection broke.")), new StorageBusyException()];

    [Theory]
    [MemberData(nameof(Faults))]
    public void A_fault_of_the_storage_is_still_one_on_the_silo_that_asked(Exception fault)
    {
        using var services = new ServiceCollection().AddSerializer().BuildServiceProvider();
        var serializer = services.GetRequiredService<Serializer>();

        var arrived = serializer.Deserialize<Exception>(serializer.SerializeToArray(fault))!;

        Assert.Equal(fault.GetType(), arrived.GetType());
        Assert.Equal(fault.Message, arrived.Message);
    }
}
