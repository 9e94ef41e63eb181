// What a bundle is made of: the packages of others in it, and the bill of materials that lists them.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Folder of the package that a bundled file is of; null for the project's own files. */
function packageFolder(input) {
  const [folder] = /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(input) ?? [];
  return folder ?? null;
}

/**
 * @param metafile of esbuild: files by path from `root`
 * @param product name, version and license of what is bundled
 * @returns `components`, packages in the order of their folders; `bill`, CycloneDX
 */
export async function materials(root, metafile, product) {
  const edges = dependencyEdges(metafile);
  const folders = [...edges.keys()].filter((folder) => folder !== '').sort();
  const { packages: locked } = JSON.parse(await readFile(join(root, 'package-lock.json'), 'utf8'));
  const components = await Promise.all(
    folders.map((folder) => readComponent(root, folder, locked[folder])),
  );
  return { components, bill: billOf(product, components, edges) };
}

/** Folders of the packages that each package's bundled files import; '' is the project itself. */
function dependencyEdges({ inputs, outputs }) {
  const edges = new Map([['', new Set()]]);
  const edgesOf = (folder) => {
    const found = edges.get(folder) ?? new Set();
    edges.set(folder, found);
    return found;
  };
  const bundled = Object.values(outputs).flatMap((output) =>
    Object.entries(output.inputs)
      .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
      .map(([path]) => path),
  );
  const isBundled = new Set(bundled);
  for (const path of bundled) {
    const from = packageFolder(path) ?? '';
    const own = edgesOf(from);
    for (const { path: imported } of inputs[path].imports) {
      const to = packageFolder(imported);
      if (to !== null && to !== from && isBundled.has(imported)) own.add(to);
    }
  }
  return edges;
}

async function readComponent(root, folder, locked) {
  const manifest = JSON.parse(await readFile(join(root, folder, 'package.json'), 'utf8'));
  const { name, version, license } = manifest;
  if (typeof license !== 'string') throw new Error(`${folder} names no licence`);
  if (locked?.version !== version) throw new Error(`${folder} is not the one of package-lock.json`);
  const { integrity = '' } = locked;
  return { folder: join(root, folder), path: folder, name, version, license, integrity };
}

function billOf(product, components, edges) {
  const references = new Map(components.map((each) => [each.path, reference(each)]));
  references.set('', reference(product));
  // A package may lie in several folders.
  const unique = new Map(components.map((each) => [reference(each), each]));
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: { component: componentOf('application', product) },
    components: [...unique.values()].map((each) => componentOf('library', each)),
    dependencies: [...new Set(references.values())].map((ref) => ({
      ref,
      dependsOn: dependenciesOf(ref, references, edges),
    })),
  };
}

function dependenciesOf(ref, references, edges) {
  const folders = [...references].filter(([, other]) => other === ref).map(([folder]) => folder);
  const imported = folders.flatMap((folder) => [...(edges.get(folder) ?? [])]);
  return [...new Set(imported.map((folder) => references.get(folder)))].sort();
}

/** As package URLs are written: the @ of a scope is escaped. */
function reference({ name, version }) {
  return `pkg:npm/${name.replace('@', '%40')}@${version}`;
}

function componentOf(type, component) {
  const { name, version, license, integrity } = component;
  const purl = reference(component);
  const [, digest] = /^sha512-(.+)$/.exec(integrity ?? '') ?? [];
  const hashes =
    digest === undefined
      ? {}
      : { hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }] };
  return { type, 'bom-ref': purl, name, version, purl, licenses: licensesOf(license), ...hashes };
}

function licensesOf(license) {
  return / (?:OR|AND|WITH) /.test(license)
    ? [{ expression: license }]
    : [{ license: { id: license } }];
}
