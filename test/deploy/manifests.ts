import { execFile } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheDirectory } from '@isobar/testing';
import type { IDeployment, IStatefulSet } from 'kubernetes-models/apps/v1';
import type {
  IConfigMap,
  IContainer,
  IPodSpec,
  IPodTemplateSpec,
  IService,
} from 'kubernetes-models/v1';
import { parseAllDocuments } from 'yaml';

const run = promisify(execFile);
export const root = fileURLToPath(new URL('../..', import.meta.url));

/** One object of Kubernetes, as kustomize writes it. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** What a folder of deploy/kubernetes builds to. */
export async function build(kustomize: string, folder: string): Promise<Manifest[]> {
  const path = join(root, 'deploy/kubernetes', folder);
  const { stdout } = await run(kustomize, ['build', path], { maxBuffer: 2 ** 24 });
  return parseAllDocuments(stdout).map((document) => document.toJS() as Manifest);
}

/** The package and module that have an object's model; null of a kind that none has. */
export function moduleOf({ apiVersion, kind }: Manifest): string | null {
  if (kind === 'LeaderWorkerSet') return null;
  const packageName = apiVersion.startsWith('monitoring.coreos.com/')
    ? '@kubernetes-models/prometheus-operator'
    : 'kubernetes-models';
  return `${packageName}/${apiVersion}`;
}

/** A pod that something makes, and how many. */
export interface Pods {
  readonly of: Manifest;
  readonly template: IPodTemplateSpec;
  readonly spec: IPodSpec;
  readonly labels: Readonly<Record<string, string>>;
  readonly replicas: number;
  /** Index of the first. */
  readonly start: number;
}

/** What a LeaderWorkerSet has of interest here. */
interface LeaderWorkerSet {
  readonly spec: {
    readonly replicas: number;
    readonly leaderWorkerTemplate: {
      readonly size: number;
      readonly restartPolicy: string;
      readonly workerTemplate: IPodTemplateSpec;
    };
  };
}

export function podsOf(manifests: readonly Manifest[]): Pods[] {
  return manifests.flatMap((of) => {
    const made = madeBy(of);
    if (made === null) return [];
    const { template, replicas, start } = made;
    const { spec, metadata } = template;
    if (spec === undefined) throw new Error(`${of.kind} ${of.metadata.name} has no pods`);
    return [{ of, template, spec, labels: metadata?.labels ?? {}, replicas, start }];
  });
}

function madeBy(of: Manifest): Pick<Pods, 'template' | 'replicas' | 'start'> | null {
  if (of.kind === 'Deployment' || of.kind === 'StatefulSet') {
    const { spec } = of as unknown as IDeployment | IStatefulSet;
    if (spec === undefined) return null;
    const { template, replicas = 1 } = spec;
    return { template, replicas, start: 'ordinals' in spec ? (spec.ordinals?.start ?? 0) : 0 };
  }
  if (of.kind !== 'LeaderWorkerSet') return null;
  const { replicas, leaderWorkerTemplate } = (of as unknown as LeaderWorkerSet).spec;
  const { workerTemplate: template, size } = leaderWorkerTemplate;
  return { template, replicas: replicas * size, start: 0 };
}

export function containersOf({ spec }: Pods): IContainer[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}

export function ofKind<T>(manifests: readonly Manifest[], kind: string): (Manifest & T)[] {
  return manifests.filter((manifest) => manifest.kind === kind) as (Manifest & T)[];
}

export const servicesOf = (manifests: readonly Manifest[]) =>
  ofKind<IService>(manifests, 'Service');
export const configMapsOf = (manifests: readonly Manifest[]) =>
  ofKind<IConfigMap>(manifests, 'ConfigMap');

/**
 * The compiler's complaints about objects as literals of their models: it refuses fields that there are
 * not, which schemas of Kubernetes let pass.
 */
export async function unknownFields(manifests: readonly Manifest[]): Promise<string> {
  const typed = manifests.flatMap((manifest, index) => {
    const module = moduleOf(manifest);
    if (module === null) return [];
    const name = `I${manifest.kind}`;
    return [
      `import type { ${name} as T${index} } from '${module}';`,
      `export const m${index}: T${index} = ${JSON.stringify(manifest)};`,
    ];
  });
  const folder = join(cacheDirectory, `manifests-${process.pid}`);
  await mkdir(folder, { recursive: true });
  try {
    await writeFile(join(folder, 'manifests.ts'), `${typed.join('\n')}\n`);
    const options = { strict: true, noEmit: true, skipLibCheck: true, module: 'nodenext' };
    const project = { compilerOptions: { ...options, types: [] }, files: ['manifests.ts'] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(project));
    await run('npx', ['--no-install', 'tsc', '-p', folder], { cwd: root });
    return '';
  } catch (error) {
    return error instanceof Error && 'stdout' in error ? String(error.stdout) : String(error);
  } finally {
    await rm(folder, { recursive: true });
  }
}
