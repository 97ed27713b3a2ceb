using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Mono.Cecil;
using Recognize.Orleans.Hosting;
using Xunit;
using Xunit.Abstractions;

namespace Recognize.Orleans.House;

// The folders of the service stand on each other, and each uses only those below it. Features stand side by side and do
// not use each other. Read from the compiled types, so that no using directive can hide an arrow.
public sealed class FolderTests(ITestOutputHelper output)
{
    private const string Root = "Recognize.Orleans.";

    /// <summary>Side by side.</summary>
    internal static readonly string[] Features = ["Operations"];

    // The highest first.
    private static readonly string[][] Rows = [["Program"], ["Hosting"], Features, ["Api"], ["Customers"], ["State"], ["Cluster"], ["Storage"], ["Foundation"]];

    // Counted in the source of the last version without an order.
    private const int PairsBefore = 12;

    [Fact]
    public void Every_folder_uses_only_folders_below_it()
    {
        using var service = AssemblyDefinition.ReadAssembly(typeof(Settings).Assembly.Location);
        var arrows = Arrows(service);
        var pairs = arrows.Where(arrow => string.CompareOrdinal(arrow.From, arrow.To) < 0 && arrows.Any(other => other.From == arrow.To && other.To == arrow.From));

        output.WriteLine($"Pairs of folders that use each other: {PairsBefore} before there was an order, {pairs.Count()} now.");
        Assert.Empty(Forbidden(arrows, Rows));
    }

    [Fact]
    public void Every_folder_of_the_service_has_its_place_in_the_order()
    {
        using var service = AssemblyDefinition.ReadAssembly(typeof(Settings).Assembly.Location);

        Assert.Equal(
            Rows.SelectMany(row => row).Order(StringComparer.Ordinal),
            service.MainModule.GetTypes().Select(FolderOf).OfType<string>().Distinct().Order(StringComparer.Ordinal));
    }

    [Fact]
    public void Siblings_and_what_is_above_are_found_wherever_they_are_used()
    {
        using var service = Compile("""
            namespace Recognize.Orleans.Foundation { class Clock; interface IEnded { object Ended(); } }
            namespace Recognize.Orleans.Storage { class Rows { object Above() => new Operations.Operation(); } }
            namespace Recognize.Orleans.Operations { class Operation { Foundation.Clock clock; Foundation.IEnded[] ended; } }
            namespace Recognize.Orleans.Webhooks { class Delivery : Foundation.IEnded { public object Ended() => typeof(System.Collections.Generic.List<Devices.Device>); } }
            namespace Recognize.Orleans.Devices { class Device { Operations.Operation[] asked; } }
            """);

        Assert.Equal(
            ["Devices uses Operations", "Storage uses Operations", "Webhooks uses Devices"],
            Forbidden(Arrows(service), [["Operations", "Webhooks", "Devices"], ["Storage"], ["Foundation"]]).Select(arrow => arrow.Split(':')[0]).Order(StringComparer.Ordinal));
    }

    private static AssemblyDefinition Compile(string source)
    {
        var assembly = new MemoryStream();
        var compilation = CSharpCompilation.Create("Invented", [CSharpSyntaxTree.ParseText(source)], [MetadataReference.CreateFromFile(typeof(object).Assembly.Location)], new(OutputKind.DynamicallyLinkedLibrary));
        Assert.Empty(compilation.Emit(assembly).Diagnostics.Where(one => one.Severity is DiagnosticSeverity.Error));
        assembly.Position = 0;
        return AssemblyDefinition.ReadAssembly(assembly);
    }

    // An arrow leads to a lower row.
    private static IEnumerable<string> Forbidden(IEnumerable<(string From, string To, string Where)> arrows, string[][] rows) =>
        arrows.Where(arrow => RowOf(arrow.From, rows) >= RowOf(arrow.To, rows)).Select(arrow => $"{arrow.From} uses {arrow.To}: {arrow.Where}");

    private static int RowOf(string folder, string[][] rows) => Array.FindIndex(rows, row => row.Contains(folder));

    // One arrow for each pair of folders, with the first type that draws it. What Orleans generates stands in a namespace
    // of its own, which is no folder.
    private static List<(string From, string To, string Where)> Arrows(AssemblyDefinition service) =>
    [
        .. service.MainModule.GetTypes()
            .SelectMany(type => UsedBy(type).Select(used => (From: FolderOf(type), To: FolderOf(used), Where: $"{type.FullName} -> {used.FullName}")))
            .Where(arrow => arrow is { From: not null, To: not null } && arrow.From != arrow.To)
            .Select(arrow => (arrow.From!, arrow.To!, arrow.Where))
            .DistinctBy(arrow => (arrow.Item1, arrow.Item2)),
    ];

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
