using Mono.Cecil;
using Recognize.Orleans.Foundation;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.House;

// The folders of the service stand on each other, and each uses only those below it. Read from the compiled types, so that no using directive can hide an arrow.
public sealed class FolderTests(ITestOutputHelper output)
{
    private const string Root = "Recognize.Orleans.";

    // The highest first.
    private static readonly string[] Folders = ["Program", "Hosting", "Operations", "Api", "Customers", "State", "Cluster", "Storage", "Foundation"];

    // Counted in the source of the last version without an order.
    private const int PairsBefore = 12;

    [Fact]
    public void Every_folder_uses_only_folders_below_it()
    {
        var arrows = Arrows();
        var pairs = arrows.Where(arrow => string.CompareOrdinal(arrow.From, arrow.To) < 0 && arrows.Any(other => other.From == arrow.To && other.To == arrow.From));

        output.WriteLine($"Pairs of folders that use each other: {PairsBefore} before there was an order, {pairs.Count()} now.");
        Assert.Empty(arrows.Where(arrow => Array.IndexOf(Folders, arrow.From) > Array.IndexOf(Folders, arrow.To)).Select(arrow => $"{arrow.From} uses {arrow.To}: {arrow.Where}"));
    }

    [Fact]
    public void Every_folder_of_the_service_has_its_place_in_the_order() =>
        Assert.Equal(Folders.Order(StringComparer.Ordinal), Types().Select(FolderOf).OfType<string>().Distinct().Order(StringComparer.Ordinal));

    // One arrow for each pair of folders, with the first type that draws it.
    private static List<(string From, string To, string Where)> Arrows() =>
    [
        .. Types()
            .SelectMany(type => UsedBy(type).Select(used => (From: FolderOf(type), To: FolderOf(used), Where: $"{type.FullName} -> {used.FullName}")))
            .Where(arrow => arrow is { From: not null, To: not null } && arrow.From != arrow.To)
            .Select(arrow => (arrow.From!, arrow.To!, arrow.Where))
            .DistinctBy(arrow => (arrow.Item1, arrow.Item2)),
    ];

    // What Orleans generates stands in a namespace of its own, which is no folder.
    private static IEnumerable<TypeDefinition> Types() =>
        AssemblyDefinition.ReadAssembly(typeof(Settings).Assembly.Location).MainModule.GetTypes();

    private static string? FolderOf(TypeReference type)
    {
        var outermost = OutermostOf(type.GetElementType());
        return outermost switch
        {
            { FullName: "Program" } => "Program",
            { Namespace: var name } when name.StartsWith(Root, StringComparison.Ordinal) && outermost.Scope is ModuleDefinition => name[Root.Length..].Split('.')[0],
            _ => null,
        };
    }

    private static TypeReference OutermostOf(TypeReference type) => type.DeclaringType is { } owner ? OutermostOf(owner) : type;

    private static IEnumerable<TypeReference> UsedBy(TypeDefinition type)
    {
        IEnumerable<TypeReference?> direct =
        [
            type.BaseType,
            .. type.Interfaces.Select(one => one.InterfaceType),
            .. type.CustomAttributes.Select(attribute => attribute.AttributeType),
            .. type.Fields.Select(field => field.FieldType),
            .. type.Properties.Select(property => property.PropertyType),
            .. type.Methods.SelectMany(UsedBy),
        ];
        return direct.OfType<TypeReference>().SelectMany(Unfold);
    }

    private static IEnumerable<TypeReference?> UsedBy(MethodDefinition method) =>
    [
        method.ReturnType,
        .. method.Parameters.Select(parameter => parameter.ParameterType),
        .. method.HasBody ? method.Body.Variables.Select(variable => variable.VariableType) : [],
        .. method.HasBody ? method.Body.Instructions.SelectMany(instruction => UsedBy(instruction.Operand)) : [],
    ];

    private static IEnumerable<TypeReference?> UsedBy(object? operand) => operand switch
    {
        TypeReference type => [type],
        GenericInstanceMethod method => [method.DeclaringType, .. method.GenericArguments],
        MemberReference member => [member.DeclaringType],
        _ => [],
    };

    // Of a generic type its arguments as well.
    private static IEnumerable<TypeReference> Unfold(TypeReference type) => type switch
    {
        GenericInstanceType generic => [generic.ElementType, .. generic.GenericArguments.SelectMany(Unfold)],
        TypeSpecification array => Unfold(array.ElementType),
        _ => [type],
    };
}
