using Recognize.Orleans.Storage;
using Xunit;

namespace Recognize.Orleans.Api;

public sealed class ExceptionAnswersTests
{
    public static TheoryData<Exception, int> StatusesOfFaults => new()
    {
        { new OperationCanceledException("Message expired before placement could complete."), 503 },
        { new TimeoutException(), 503 },
        { new StorageBusyException(), 503 },
        { new SiloFencedException(), 503 },
        { new StorageFaultException("The connection broke.", mayBeWritten: true), 503 },
        { new InvalidOperationException("A fault of the program.", new IOException()), 500 },
        { new InvalidCastException(), 500 },
    };

    [Theory]
    [MemberData(nameof(StatusesOfFaults))]
    public void A_fault_of_a_node_or_the_database_is_503_and_one_of_the_program_is_500(Exception fault, int status) => Assert.Equal(status, ExceptionAnswers.StatusOf(fault));

    [Fact]
    public void A_client_that_went_away_is_no_fault()
    {
        using var gone = new CancellationTokenSource();

        Assert.Equal(499, ExceptionAnswers.StatusOf(new OperationCanceledException(gone.Token)));
    }
}
