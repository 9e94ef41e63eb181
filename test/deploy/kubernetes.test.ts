import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  agentPlace,
  checkConfiguration,
  configurationOf,
  contextOf,
  discoverAgentRank,
  type Environment,
  type LoadedConfiguration,
  localRankIn,
  namedDomains,
  nodeName,
  placeWithoutGpu,
  rankOf,
} from '@isobar/configuration';
import { buildGoExecutable, kustomize } from '@isobar/testing';
import { comparePlaces, type Place } from '@isobar/topology';
import { type INetworkPolicy, NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1';
import type { IPodDisruptionBudget } from 'kubernetes-models/policy/v1';
import type { IContainer, ISecurityContext } from 'kubernetes-models/v1';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { kubernetesSecrets } from '../../services/operator-cli/src/auth/kubernetes-secrets.js';
import { createProgram } from '../../services/operator-cli/src/program.js';
import { wordsOf } from '../../services/operator-cli/test/support/words.js';
import { environmentOf, podFactsOf } from './agent-environments.js';
import {
  build,
  configMapsOf,
  containersOf,
  type Manifest,
  moduleOf,
  ofKind,
  type Pods,
  podsOf,
  root,
  servicesOf,
  unknownFields,
} from './manifests.js';

const path = (await buildGoExecutable(kustomize)) ?? '';
if (path === '') {
  const missing = 'there is no Go to build kustomize';
  console.warn(`the manifests of Kubernetes are not built: ${missing}`);
  if (process.env.CI) throw new Error(missing);
}

/** nats-server takes so long, and writes no other into its configuration. */
const lameDuckSecondsMax = 120;

const examples = [
  'vllm-stateful-set',
  'vllm-leader-worker-set',
  'sglang-stateful-set',
  'sglang-leader-worker-set',
  'vllm-racks',
];

/** The fields of a LeaderWorkerSet that are used here: npm has no schema of it. */
const leaderWorkerSetSchema = z.strictObject({
  apiVersion: z.literal('leaderworkerset.x-k8s.io/v1'),
  kind: z.literal('LeaderWorkerSet'),
  metadata: z.looseObject({ name: z.string() }),
  spec: z.strictObject({
    // Of one group: an update of another would be a second one of the same ranks.
    replicas: z.literal(1),
    rolloutStrategy: z.strictObject({
      type: z.literal('RollingUpdate'),
      // Without it a changed template ends all ranks at once, undrained.
      rollingUpdateConfiguration: z.strictObject({ partition: z.literal(1) }),
    }),
    leaderWorkerTemplate: z.strictObject({
      size: z.number().int().min(1),
      restartPolicy: z.literal('None'),
      workerTemplate: z.looseObject({}),
    }),
  }),
});

/** What is in a cluster before an example is applied, by the README's words. */
interface Given {
  readonly secrets: ReadonlyMap<string, readonly string[]>;
  readonly serverConfiguration: string;
  readonly claims: readonly string[];
}

let folder: string;
let given: Given;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'isobar-kubernetes-'));
  const readme = await readFile(join(root, 'deploy/kubernetes/README.md'), 'utf8');
  const line = /^ *(isobar .*auth init.*)$/m.exec(readme)?.[1] ?? '';
  const words = wordsOf(line).map((word) => (word === './prod-auth' ? join(folder, 'set') : word));
  const told = process.stdout.write;
  process.stdout.write = () => true;
  await createProgram()
    .parseAsync([...words, '--json'], { from: 'user' })
    .finally(() => {
      process.stdout.write = told;
    });
  const made = await kubernetesSecrets(join(folder, 'set'));
  given = {
    secrets: new Map(made.map(({ metadata, data }) => [metadata.name, Object.keys(data)])),
    serverConfiguration: Buffer.from(
      made.at(-1)?.data['nats-server.conf'] ?? '',
      'base64',
    ).toString(),
    claims: ['model'],
  };
});
afterAll(() => rm(folder, { recursive: true }));

function loadedFrom(manifests: readonly Manifest[], environment: Environment): LoadedConfiguration {
  const text = configMapsOf(manifests)[0]?.data?.['isobar.yaml'] ?? '';
  const file = '/etc/isobar/isobar.yaml';
  const { values, origins, problems } = checkConfiguration(file, text, environment);
  expect(problems).toEqual([]);
  return { file, configuration: configurationOf(values), values, origins };
}

const isOfEngines = (labels: Readonly<Record<string, string>>) =>
  labels['app.kubernetes.io/component'] === 'engine';

/** Of this project, not of another's image. */
const isOurs = ({ image }: IContainer) => /^isobar[:@]/.test(image ?? '');

function matches(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>>,
): boolean {
  const wanted = Object.entries(selector ?? {});
  return wanted.length > 0 && wanted.every(([name, value]) => labels[name] === value);
}

/** Keys that a mounted volume has, by what it is; null where they are not told. */
function filesOf(pods: Pods, volume: string, manifests: readonly Manifest[]) {
  const found = pods.spec.volumes?.find(({ name }) => name === volume);
  if (found?.configMap) {
    const maps = configMapsOf(manifests);
    const map = maps.find(({ metadata }) => metadata.name === found.configMap?.name);
    return Object.keys(map?.data ?? {});
  }
  const secrets = secretsOf(pods, volume);
  if (secrets.length === 0) return null;
  return secrets.flatMap(({ name }) => given.secrets.get(name) ?? []);
}

/** Secrets that a volume, or all volumes of a pod, are made of. */
function secretsOf({ spec }: Pods, volume?: string) {
  const volumes = spec.volumes?.filter(({ name }) => volume === undefined || name === volume) ?? [];
  return volumes.flatMap(({ secret, projected }) => {
    const whole = secret ? [{ name: secret.secretName ?? '', optional: secret.optional }] : [];
    const parts = projected?.sources?.flatMap(({ secret: of }) => of ?? []) ?? [];
    const { defaultMode } = secret ?? projected ?? {};
    const named = parts.map(({ name = '', optional }) => ({ name, optional }));
    return [...whole, ...named].map((one) => ({ ...one, defaultMode }));
  });
}

describe.skipIf(path === '').each(examples)('the example %s', (example) => {
  let manifests: Manifest[];
  let pods: Pods[];
  beforeAll(async () => {
    manifests = await build(path, join('examples', example));
    pods = podsOf(manifests);
  });

  it('is of objects as the API has them, with no field that it has not', async () => {
    for (const manifest of manifests) {
      const module = moduleOf(manifest);
      if (module === null) {
        leaderWorkerSetSchema.parse(manifest);
        continue;
      }
      const models = (await import(module)) as Record<
        string,
        new (
          data: unknown,
        ) => { validate: () => void }
      >;
      const Model = models[manifest.kind];
      if (Model === undefined) throw new Error(`${module} has no ${manifest.kind}`);
      new Model(manifest).validate();
    }
    const asStatefulSet = ofKind<{ spec: z.infer<typeof leaderWorkerSetSchema>['spec'] }>(
      manifests,
      'LeaderWorkerSet',
    ).map(({ spec: { leaderWorkerTemplate } }): Manifest => {
      const { workerTemplate: template } = leaderWorkerTemplate;
      const selector = { matchLabels: {} };
      const spec = { serviceName: 'engine', selector, template };
      return { apiVersion: 'apps/v1', kind: 'StatefulSet', metadata: { name: 'engine' }, spec };
    });
    expect(await unknownFields([...manifests, ...asStatefulSet])).toBe('');
  });

  it('names nothing that is not there', () => {
    const named = (kind: string) =>
      manifests.filter((one) => one.kind === kind).map(({ metadata }) => metadata.name);
    for (const one of pods) {
      const { serviceAccountName } = one.spec;
      if (serviceAccountName) expect(named('ServiceAccount')).toContain(serviceAccountName);
      const claimed =
        one.of.kind === 'StatefulSet'
          ? ((one.of.spec as { volumeClaimTemplates?: Manifest[] }).volumeClaimTemplates ?? [])
          : [];
      const volumes = one.spec.volumes ?? [];
      for (const { name, optional } of secretsOf(one)) {
        if (optional !== true) expect([...given.secrets.keys()]).toContain(name);
      }
      for (const { configMap, persistentVolumeClaim } of volumes) {
        if (configMap) expect(named('ConfigMap')).toContain(configMap.name);
        if (persistentVolumeClaim) expect(given.claims).toContain(persistentVolumeClaim.claimName);
      }
      const mountable = [...volumes, ...claimed.map(({ metadata }) => metadata)];
      const names = mountable.map(({ name }) => name);
      expect(new Set(names).size).toBe(names.length);
      for (const container of containersOf(one)) {
        for (const { name, subPath } of container.volumeMounts ?? []) {
          expect(names).toContain(name);
          if (subPath) expect(filesOf(one, name, manifests)).toContain(subPath);
        }
        const ports = container.ports?.map(({ name }) => name) ?? [];
        for (const probe of probesOf(container)) expect(ports).toContain(probe);
      }
    }
  });

  it('selects pods that there are, at ports that they have', () => {
    const portsOf = (selected: readonly Pods[]) =>
      selected.flatMap((one) => containersOf(one).flatMap(({ ports = [] }) => ports));
    const selectedBy = (selector: Readonly<Record<string, string>> | undefined) => {
      const selected = pods.filter(({ labels }) => matches(selector, labels));
      expect(selected, JSON.stringify(selector)).not.toEqual([]);
      return selected;
    };
    for (const { of, labels } of pods) {
      const { selector } = of.spec as { selector?: { matchLabels: Record<string, string> } };
      if (of.kind !== 'LeaderWorkerSet') expect(matches(selector?.matchLabels, labels)).toBe(true);
      const { serviceName } = of.spec as { serviceName?: string };
      const services = servicesOf(manifests).map(({ metadata }) => metadata.name);
      if (of.kind === 'StatefulSet') expect(services).toContain(serviceName);
    }
    for (const { spec } of servicesOf(manifests)) {
      const names = portsOf(selectedBy(spec?.selector)).map(({ name }) => name);
      for (const { targetPort } of spec?.ports ?? []) expect(names).toContain(targetPort);
    }
    for (const { spec } of ofKind<IPodDisruptionBudget>(manifests, 'PodDisruptionBudget')) {
      const selected = selectedBy(spec?.selector?.matchLabels);
      expect(selected.reduce((sum, { replicas }) => sum + replicas, 0)).toBeGreaterThan(1);
      const isEngine = selected.some(({ labels }) => isOfEngines(labels));
      expect(spec?.maxUnavailable).toBe(isEngine ? 0 : 1);
    }
    const budgets = ofKind<IPodDisruptionBudget>(manifests, 'PodDisruptionBudget');
    for (const { labels } of pods) {
      const of = budgets.filter(({ spec }) => matches(spec?.selector?.matchLabels, labels));
      expect(of).toHaveLength(1);
    }
    const monitors = ofKind<ServiceMonitor>(manifests, 'ServiceMonitor');
    expect(monitors).toHaveLength(1);
    for (const { spec } of monitors) {
      const services = servicesOf(manifests).filter(({ metadata }) =>
        matches(spec.selector.matchLabels, metadata.labels ?? {}),
      );
      expect(services).toHaveLength(1);
      const names = services.flatMap(({ spec: of }) => of?.ports ?? []).map(({ name }) => name);
      for (const { port } of spec.endpoints) expect(names).toContain(port);
    }
    for (const { spec } of ofKind<PodMonitor>(manifests, 'PodMonitor')) {
      const asked = spec.podMetricsEndpoints.map(({ port }) => port);
      for (const selected of selectedBy(spec.selector.matchLabels)) {
        const names = portsOf([selected]).map(({ name }) => name);
        const served = names.filter((name) => name !== 'http' || asked.includes('http'));
        expect(asked).toEqual(served);
      }
    }
    for (const { spec } of ofKind<INetworkPolicy>(manifests, 'NetworkPolicy')) {
      const own = portsOf(selectedBy(spec?.podSelector?.matchLabels));
      for (const { from = [], ports = [] } of spec?.ingress ?? []) {
        for (const { port } of ports)
          expect(own.map(({ containerPort }) => containerPort)).toContain(port);
        for (const peer of from) {
          if (!peer.namespaceSelector) selectedBy(peer.podSelector?.matchLabels);
        }
      }
      for (const { to = [], ports = [] } of spec?.egress ?? []) {
        for (const peer of to.filter(({ namespaceSelector }) => !namespaceSelector)) {
          const theirs = portsOf(selectedBy(peer.podSelector?.matchLabels));
          for (const { port } of ports) {
            expect(theirs.map(({ containerPort }) => containerPort)).toContain(port);
          }
        }
      }
    }
  });

  it('lets nobody have more than is needed', () => {
    for (const one of pods) {
      expect(one.spec.automountServiceAccountToken).toBe(false);
      for (const container of containersOf(one)) {
        expect(container.image).toMatch(/:v?\d+\.\d+/);
        if (container.name === 'engine') continue;
        const security: ISecurityContext = {
          ...one.spec.securityContext,
          ...container.securityContext,
        };
        expect(security, container.name).toMatchObject({
          runAsNonRoot: true,
          runAsUser: 65_532,
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
          seccompProfile: { type: 'RuntimeDefault' },
        });
        expect(container.resources?.requests).toHaveProperty('memory');
        expect(container.resources?.limits).toHaveProperty('memory');
      }
      for (const { name, defaultMode } of secretsOf(one)) expect(defaultMode, name).toBe(0o400);
    }
  });

  it('has an agent for every rank, with its own engine, state, port and credentials', async () => {
    const sets = pods.filter(({ labels }) => isOfEngines(labels));
    const seen = [];
    const places = new Map<number, Place>();
    for (const engines of sets)
      for (const facts of podFactsOf(engines)) {
        for (const agent of containersOf(engines).filter(isOurs)) {
          expect(agent.args).toEqual(['agent', '--config', '/etc/isobar/isobar.yaml']);
          const environment = environmentOf(agent, facts);
          const loaded = loadedFrom(manifests, environment);
          const discovery = await discoverAgentRank(loaded, null, environment);
          expect(discovery.problems).toEqual([]);
          const rank = rankOf(discovery);
          places.set(rank, placeWithoutGpu(environment, localRankIn(discovery)));
          expect(nodeName(environment)).toBe(facts.node);
          const { rack } = facts.labels;
          expect(namedDomains(environment)).toEqual(rack === undefined ? {} : { rack });
          // Where a pod says that it is, is where it is scheduled.
          expect(Object.values(engines.spec.nodeSelector ?? {})).toEqual(
            rack === undefined ? [] : [rack],
          );
          const place = await agentPlace(loaded, rank);
          const port = agent.ports?.[0]?.containerPort;
          expect(place.httpListen).toEqual({ host: '0.0.0.0', port });
          const context = contextOf(loaded, `agent-${rank}`) ?? '';
          expectMounted(engines, agent, context);
          seen.push({ rank, pod: facts.index, context, port, ...place });
        }
      }
    const loaded = loadedFrom(manifests, {});
    const { topology } = loaded.configuration;
    if (typeof topology === 'string') throw new Error('the topology is in a file of its own');
    const { numRanks } = topology;
    expect(seen.map(({ rank }) => rank)).toEqual(
      Array.from({ length: numRanks }, (_, rank) => rank),
    );
    expect(comparePlaces(topology, places, numRanks)).toEqual([]);
    // By pod, whose containers share an address and folders.
    for (const field of ['engine', 'stateDirectory', 'port', 'context'] as const) {
      const all = new Set(seen.map((one) => `${one.pod} ${one[field]}`));
      expect(all.size, field).toBe(numRanks);
    }
    const sockets = seen.map(({ engine }) => engine.slice('unix:'.length, engine.lastIndexOf('/')));
    for (const engines of sets) {
      for (const container of containersOf(engines)) {
        const mounts = container.volumeMounts?.map(({ name, mountPath }) => `${name} ${mountPath}`);
        expect(mounts).toContain(`isobar-run ${sockets[0]}`);
      }
      expect(engines.spec.shareProcessNamespace).toBe(true);
      for (const agent of containersOf(engines).filter(isOurs)) {
        expect(agent.restartPolicy).toBe('Always');
        // Either would have an agent in trouble take its engine with it.
        expect(agent.readinessProbe).toBeUndefined();
        expect(agent.startupProbe).toBeUndefined();
        expect(agent.livenessProbe?.httpGet?.path).toBe('/livez');
      }
    }
  });

  it('has coordinators that can start, and NATS servers as they name them', () => {
    const [coordinators] = pods.filter(({ of }) => of.kind === 'Deployment');
    const [container] = coordinators?.spec.containers ?? [];
    if (coordinators === undefined || container === undefined) throw new Error('there are none');
    const environment = environmentOf(container, {
      index: 0,
      node: 'a',
      labels: {},
      injected: {},
    });
    const loaded = loadedFrom(manifests, environment);
    const { nats, coordinator, http } = loaded.configuration;
    expect(coordinator.holder).toBe('pod-0');
    expect(http.listen).toBe(`0.0.0.0:${container.ports?.[0]?.containerPort}`);
    expectMounted(coordinators, container, contextOf(loaded, coordinator.holder) ?? '');

    const [servers] = pods.filter(({ of }) => of.metadata.name === 'isobar-nats');
    if (servers === undefined) throw new Error('there are no NATS servers');
    const reached = egressOf(manifests, coordinators.labels).filter(({ podSelector }) =>
      matches(podSelector?.matchLabels, servers.labels),
    );
    expect(reached).toHaveLength(1);
    expect(servers.spec.terminationGracePeriodSeconds).toBeGreaterThan(lameDuckSecondsMax);
    const { serviceName } = servers.of.spec as { serviceName: string };
    const names = Array.from(
      { length: servers.replicas },
      (_, index) => `isobar-nats-${index}.${serviceName}`,
    );
    expect(nats.servers).toEqual(names.map((name) => `tls://${name}:4222`));
    expect(coordinator.replicas).toBe(servers.replicas);
    const [server] = servers.spec.containers;
    if (server === undefined) throw new Error('there is no server');
    const { serverConfiguration } = given;
    for (const name of names) expect(serverConfiguration).toContain(`@${name}:6222`);
    const [file = ''] = server.args?.filter((arg) => arg.startsWith('/')) ?? [];
    expectMounted(servers, server, file);
    for (const [, certificate = ''] of serverConfiguration.matchAll(/_file: "([^"]+)"/g)) {
      expectMounted(servers, server, certificate);
    }
    const store = /store_dir: "([^"]+)"/.exec(serverConfiguration)?.[1];
    expect(server.volumeMounts?.map(({ mountPath }) => mountPath)).toContain(store);
  });
});

describe.skipIf(path === '')('a coordinator without our NATS servers', () => {
  it('may speak with those of the README, by the policy that it shows', async () => {
    const manifests = await build(path, 'coordinator');
    const { labels } = podsOf(manifests)[0] ?? {};
    const before = egressOf(manifests, labels ?? {});
    expect(before.map(({ podSelector }) => podSelector?.matchLabels)).toEqual([
      { 'k8s-app': 'kube-dns' },
    ]);
    const readme = await readFile(join(root, 'deploy/kubernetes/README.md'), 'utf8');
    const [, shown = ''] = /```yaml\n(apiVersion: networking[^`]*)```/.exec(readme) ?? [];
    const policy = parse(shown) as Manifest;
    new NetworkPolicy(policy as unknown as INetworkPolicy).validate();
    expect(await unknownFields([policy])).toBe('');
    expect(egressOf([...manifests, policy], labels ?? {})).toHaveLength(2);
  });
});

/** Who may be spoken with by pods of these labels. */
function egressOf(manifests: readonly Manifest[], labels: Readonly<Record<string, string>>) {
  return ofKind<INetworkPolicy>(manifests, 'NetworkPolicy')
    .filter(({ spec }) => matches(spec?.podSelector?.matchLabels, labels))
    .flatMap(({ spec }) => spec?.egress?.flatMap(({ to = [] }) => to) ?? []);
}

/** A file is in a Secret that is mounted where the file is looked for. */
function expectMounted(pods: Pods, container: IContainer, file: string): void {
  const mount = container.volumeMounts?.find(({ mountPath }) => file.startsWith(`${mountPath}/`));
  const keys = filesOf(pods, mount?.name ?? '', []);
  expect(keys).toContain(file.slice((mount?.mountPath.length ?? 0) + 1));
}

function probesOf({ startupProbe, livenessProbe, readinessProbe }: IContainer): unknown[] {
  const probes = [startupProbe, livenessProbe, readinessProbe];
  return probes.flatMap((probe) => probe?.httpGet?.port ?? []);
}

interface ServiceMonitor {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly endpoints: readonly { readonly port: string }[];
  };
}

interface PodMonitor {
  readonly spec: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly podMetricsEndpoints: readonly { readonly port: string }[];
  };
}
