using System.Reflection;
using Recognize.Orleans.Api;

namespace Recognize.Orleans.Fixtures;

/// <summary>The problem types of the service, wherever they are declared.</summary>
internal static class Problems
{
    public static IReadOnlyList<Problem> All { get; } =
    [
        .. from type in typeof(Problem).Assembly.GetTypes()
           from field in type.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly)
           where field.FieldType == typeof(Problem)
           select (Problem)field.GetValue(null)!,
    ];
}
