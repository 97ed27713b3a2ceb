// Checks Kubernetes manifests without a cluster: the values against the JSON schema of Kubernetes, and the names of all
// members against its types, because the schema lets unknown members pass and a cluster drops them with a warning.
import { readFileSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import ts from "typescript";
import { parseAllDocuments } from "yaml";

const folder = process.argv[2];
const files = readdirSync(folder).filter((name) => name.endsWith(".yaml") && name !== "kustomization.yaml").sort();
const manifests = files.flatMap((file) =>
  // Kubernetes reads YAML 1.1.
  parseAllDocuments(readFileSync(join(folder, file), "utf8"), { version: "1.1" }).map((document) => {
    if (document.errors.length > 0) {
      throw new Error(`${file}: ${document.errors[0].message}`);
    }
    const manifest = document.toJS();
    return { manifest, name: `${file}: ${manifest.kind} ${manifest.metadata?.name}` };
  }),
);
const faults = [];

for (const { manifest, name } of manifests) {
  const models = await import(`kubernetes-models/${manifest.apiVersion}`);
  try {
    new models[manifest.kind](manifest).validate();
  } catch (error) {
    faults.push(`${name}: ${error.message}`);
  }
}

const virtual = fileURLToPath(new URL("manifests.ts", import.meta.url));
const lines = manifests.map(
  ({ manifest }, index) => `export const m${index}: import("kubernetes-models/${manifest.apiVersion}").I${manifest.kind} = ${JSON.stringify(manifest)};`,
);
const options = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler, target: ts.ScriptTarget.ESNext, strict: true, noEmit: true, skipLibCheck: true, types: [] };
const host = ts.createCompilerHost(options);
const read = host.getSourceFile.bind(host);
host.getSourceFile = (path, language) => (path === virtual ? ts.createSourceFile(path, lines.join("\n"), language) : read(path, language));
for (const diagnostic of ts.getPreEmitDiagnostics(ts.createProgram([virtual], options, host))) {
  const line = diagnostic.file?.fileName === virtual ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line : -1;
  faults.push(`${manifests[line]?.name ?? "types"}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, " ")}`);
}

console.log(`${manifests.length} manifests in ${files.length} files, ${faults.length} faults`);
faults.forEach((fault) => console.error(fault));
process.exitCode = faults.length === 0 && manifests.length > 0 ? 0 : 1;
