import {
  checkConfiguration,
  configurationOf,
  type Environment,
  type LoadedConfiguration,
  type Problem,
} from '@isobar/configuration';

export const path = '/etc/isobar/isobar.yaml';

/** The least that a file must say, and more. */
export function fileWith(more = ''): string {
  return `deployment: prod\ntopology: topology.yaml\nnats:\n  servers: [nats://a:4222]\n${more}`;
}

export function problemsOf(text: string, environment: Environment = {}): readonly Problem[] {
  return checkConfiguration(path, text, environment).problems;
}

export function loaded(text: string, environment: Environment = {}): LoadedConfiguration {
  const { values, origins, problems } = checkConfiguration(path, text, environment);
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return { file: path, configuration: configurationOf(values), values, origins };
}
