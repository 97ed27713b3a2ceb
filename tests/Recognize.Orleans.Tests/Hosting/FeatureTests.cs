using System.Reflection;
using Microsoft.Extensions.Configuration;
using Recognize.Orleans.Customers;
using Recognize.Orleans.Foundation;
using Xunit;

namespace Recognize.Orleans.Hosting;

// What a feature declares and forgets to register is nothing that anybody could use.
public sealed class FeatureTests
{
    [Fact]
    public void Every_scope_that_is_declared_can_be_given_to_a_key()
    {
        var declared = from type in typeof(Features).Assembly.GetTypes()
                       from field in type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
                       where field.FieldType == typeof(Scope)
                       select (Scope)field.GetValue(null)!;

        var (_, features) = Features.ReadSettings(new SettingsReader(new ConfigurationBuilder().Build(), "/srv"));

        Assert.Equal(declared.Select(scope => scope.Name).Order(), features.Scopes().Select(scope => scope.Name).Order());
    }
}
