using Xunit;

namespace Recognize.Orleans.Api;

public sealed class ApiContractTests
{
    [Theory]
    [InlineData("")]
    [InlineData("  ")]
    [InlineData("application/json")]
    [InlineData("APPLICATION/JSON")]
    [InlineData("application/*")]
    [InlineData("*/*")]
    [InlineData("*/*;q=0.001")]
    [InlineData("text/html, application/json;q=0.1")]
    [InlineData("text/html;q=0.9, */*;q=0.1")]
    [InlineData("application/json;charset=utf-8")]
    [InlineData("application/json; charset=\"UTF-8\"")]
    [InlineData("application/json; charset=utf-8; q=0.5")]
    [InlineData("application/*;q=0, application/json")]
    [InlineData("*/*;q=0, application/*;q=0.2")]
    [InlineData("application/json;charset=utf-16, */*")]
    [InlineData("application/json;q=0, application/json;charset=utf-8")]
    [InlineData("nonsense, application/json")]
    [InlineData(",application/json,")]
    public void It_admits_json(string accept) => Assert.True(ApiContract.Accepts(accept, "application/json"));

    [Theory]
    [InlineData("text/html")]
    [InlineData("text/*")]
    [InlineData("text/html, image/*;q=0.8")]
    [InlineData("application/problem+json")]
    [InlineData("application/*+json")]
    [InlineData("application/jsonx")]
    [InlineData("application/json;q=0")]
    [InlineData("application/json;q=0.000, */*")]
    [InlineData("application/*;q=0, */*")]
    [InlineData("*/*;q=0")]
    [InlineData("application/json;charset=utf-16")]
    [InlineData("application/json;version=1")]
    [InlineData("nonsense")]
    [InlineData("*")]
    [InlineData("/")]
    [InlineData("application/")]
    public void It_admits_no_json(string accept) => Assert.False(ApiContract.Accepts(accept, "application/json"));

    [Fact]
    public void Its_absence_admits_everything() => Assert.True(ApiContract.Accepts(default, "application/json"));

    [Fact]
    public void Several_headers_are_one_list() => Assert.True(ApiContract.Accepts(new(["text/html", "application/json"]), "application/json"));
}
