using System.Text.Json.Nodes;
using Recognize.Orleans.Documents;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;
using YamlDotNet.Serialization;

namespace Recognize.Orleans.Deployment;

/// <summary>The Kubernetes manifests of the repository as JSON, in which every value is a text.</summary>
internal static class Manifests
{
    private static readonly string Folder = Repository.PathOf("deploy/kubernetes");

    public static IReadOnlyList<string> Files { get; } = [.. Directory.GetFiles(Folder, "*.yaml").Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    public static JsonNode Kustomization { get; } = Read("kustomization.yaml").Single();

    public static IReadOnlyList<JsonNode> All { get; } = [.. Files.Where(file => file != "kustomization.yaml").SelectMany(Read)];

    public static JsonNode Silos { get; } = Of("Deployment");

    public static JsonNode Schema { get; } = Of("Job");

    public static JsonNode Of(string kind) => All.Single(manifest => $"{manifest["kind"]}" == kind);

    public static JsonNode Pod(JsonNode workload) => workload["spec"]!["template"]!["spec"]!;

    public static JsonNode Container(JsonNode workload) => Pod(workload)["containers"]!.AsArray().Single()!;

    private static IEnumerable<JsonNode> Read(string file)
    {
        var parser = new Parser(new StringReader(File.ReadAllText(Path.Combine(Folder, file))));
        parser.Consume<StreamStart>();
        var (reader, writer) = (new DeserializerBuilder().Build(), new SerializerBuilder().JsonCompatible().Build());
        while (parser.Accept<DocumentStart>(out _))
        {
            yield return JsonNode.Parse(writer.Serialize(reader.Deserialize(parser)))!;
        }
    }
}
