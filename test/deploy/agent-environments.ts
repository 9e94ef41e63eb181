import type { Environment } from '@isobar/configuration';
import type { IContainer } from 'kubernetes-models/v1';
import type { Pods } from './manifests.js';

/** What a kubelet would know of one pod. */
export interface PodFacts {
  readonly index: number;
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Set by whoever makes the pod, before what the container itself sets. */
  readonly injected: Environment;
}

/** The pods that a StatefulSet or a LeaderWorkerSet makes, each on a machine of its own. */
export function podFactsOf({ of, replicas, start, labels }: Pods): PodFacts[] {
  return Array.from({ length: replicas }, (_, place) => {
    const index = start + place;
    const group = { LWS_WORKER_INDEX: `${index}`, LWS_GROUP_SIZE: `${replicas}` };
    const injected = of.kind === 'LeaderWorkerSet' ? group : {};
    return { index, node: `machine-${7 - index}`, labels, injected };
  });
}

/** A container's environment as the kubelet makes it: of the downward API, with `$(NAME)` filled in. */
export function environmentOf(container: IContainer, facts: PodFacts): Environment {
  const environment: Record<string, string | undefined> = { ...facts.injected };
  for (const { name, value, valueFrom } of container.env ?? []) {
    const field = valueFrom?.fieldRef?.fieldPath;
    const text = field === undefined ? (value ?? '') : downward(field, facts);
    environment[name] = text.replaceAll(
      /\$\((\w+)\)/g,
      (whole, of: string) => environment[of] ?? whole,
    );
  }
  return environment;
}

function downward(field: string, { index, node, labels }: PodFacts): string {
  const fields: Readonly<Record<string, string>> = {
    'spec.nodeName': node,
    'metadata.name': `pod-${index}`,
  };
  const label = /^metadata\.labels\['(.+)'\]$/.exec(field)?.[1];
  // One that a pod has not is empty, as the zone before Kubernetes 1.35.
  const ofLabels: Readonly<Record<string, string>> = {
    'apps.kubernetes.io/pod-index': `${index}`,
    ...labels,
  };
  const text = label === undefined ? fields[field] : (ofLabels[label] ?? '');
  if (text === undefined) throw new Error(`the downward API has no ${field} here`);
  return text;
}
