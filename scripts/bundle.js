// Bundles the processes into a folder that needs Node.js alone:
//   npm run bundle -- --out DIR [--with-reference-engine] [--release VERSION]
// The same sources give the same bytes. Modification times are SOURCE_DATE_EPOCH, or 1970.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, utimes, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { licenceTexts } from './bundle/licences.js';
import { materials } from './bundle/materials.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const productEntries = {
  isobar: 'services/operator-cli/dist/main-installed.js',
  health: 'services/operator-cli/dist/health-main.js',
  'planner-worker': 'packages/eplb/dist/planner-worker.js',
};
const referenceEngineEntries = {
  'reference-engine': 'services/reference-engine/dist/main.js',
};
/** Of what it contains, in every folder that this script may replace. */
const manifestName = 'isobar';

function optionsOf(args) {
  const { values } = parseArgs({
    args,
    options: {
      out: { type: 'string' },
      'with-reference-engine': { type: 'boolean', default: false },
      release: { type: 'string' },
    },
  });
  const { out, release } = values;
  if (out === undefined) throw new Error('usage: npm run bundle -- --out DIR');
  if (release !== undefined && !/^\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?$/.test(release)) {
    throw new Error(`--release ${release} is no version such as 1.2.3 or 1.2.3-next.1`);
  }
  const epoch = process.env.SOURCE_DATE_EPOCH ?? '0';
  if (!/^\d{1,10}$/.test(epoch)) throw new Error('SOURCE_DATE_EPOCH must be seconds since 1970');
  const withReferenceEngine = values['with-reference-engine'];
  return { out: resolve(out), release, withReferenceEngine, epochSeconds: Number(epoch) };
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** Every process's file, and what they have in common, by name. */
async function bundledFiles(entryPoints, version) {
  const { build } = await import('esbuild');
  const { outputFiles, metafile } = await build({
    absWorkingDir: root,
    entryPoints,
    outdir: 'out',
    entryNames: '[name]',
    chunkNames: 'part-[hash]',
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    target: 'node20.19',
    keepNames: true,
    legalComments: 'none',
    charset: 'utf8',
    logLevel: 'warning',
    // CommonJS packages require Node.js's own modules.
    banner: {
      js: "import { createRequire } from 'node:module';\nconst require = createRequire(import.meta.url);",
    },
    plugins: [tellsVersion(version)],
  });
  const files = outputFiles.map(({ path, text }) => [path.slice(join(root, 'out/').length), text]);
  return { files: new Map(files), metafile };
}

/** Has the processes tell the version that the bundle is released as. */
function tellsVersion(version) {
  const setup = (build) =>
    build.onLoad({ filter: /packages\/protocol\/dist\/software-version\.js$/ }, () => ({
      contents: `export const softwareVersion = ${JSON.stringify(version)};\n`,
    }));
  return { name: 'version', setup };
}

/** A worker's file is looked for beside the file that starts it. */
function assertWorkersThere(files) {
  for (const [name, text] of files) {
    for (const [, worker] of text.matchAll(/new URL\("\.\/([\w-]+\.js)", import\.meta\.url\)/g)) {
      if (!files.has(worker)) throw new Error(`${name} starts ${worker}, which is no entry here`);
    }
  }
}

async function writeFolder(out, files, epochSeconds) {
  await assertReplaceable(out);
  const draft = `${out}.${process.pid}.draft`;
  await mkdir(dirname(out), { recursive: true });
  try {
    await mkdir(draft);
    for (const [name, text] of files) {
      const path = join(draft, name);
      await writeFile(path, text, { flag: 'wx', mode: 0o644 });
      await utimes(path, epochSeconds, epochSeconds);
    }
    await utimes(draft, epochSeconds, epochSeconds);
    await rm(out, { recursive: true, force: true });
    await rename(draft, out);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function assertReplaceable(out) {
  if (!existsSync(out)) return;
  const manifest = await readFile(join(out, 'package.json'), 'utf8').catch(() => '{}');
  if (JSON.parse(manifest).name === manifestName) return;
  throw new Error(`${out} is there already, and no bundle: name another folder`);
}

const { out, release, withReferenceEngine, epochSeconds } = optionsOf(process.argv.slice(2));
if (!existsSync(`${root}/node_modules/.package-lock.json`)) run('npm', ['ci']);
run('npx', ['--no-install', 'tsc', '-b']);
const project = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
const version = release ?? project.version;
const entries = { ...productEntries, ...(withReferenceEngine ? referenceEngineEntries : {}) };
const { files, metafile } = await bundledFiles(entries, version);
assertWorkersThere(files);
const { name = manifestName, license, description } = project;
const manifest = { name, version, description, license, private: true, type: 'module' };
const { components, bill } = await materials(root, metafile, { name, version, license });
files.set('package.json', `${JSON.stringify(manifest, null, 2)}\n`);
files.set('sbom.cdx.json', `${JSON.stringify(bill, null, 2)}\n`);
files.set('LICENSE', await readFile(join(root, 'LICENSE'), 'utf8'));
files.set('THIRD-PARTY-LICENSES.txt', await licenceTexts(components));
await writeFolder(out, files, epochSeconds);
const bytes = [...files.values()].reduce((sum, text) => sum + Buffer.byteLength(text), 0);
process.stderr.write(
  `${out}: ${name} ${version}, ${files.size} files, ${Math.ceil(bytes / 1024)} KiB, ${components.length} packages of others\n`,
);
