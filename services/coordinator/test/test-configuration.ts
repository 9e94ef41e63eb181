import {
  checkConfiguration,
  configurationOf,
  type LoadedConfiguration,
} from '@isobar/configuration';

/** A configuration as a file with these options of a coordinator has it. */
export function configurationWith(
  coordinator: Readonly<Record<string, unknown>> = {},
): LoadedConfiguration {
  const file = '/etc/isobar/isobar.yaml';
  const nats = { servers: ['nats://127.0.0.1:4222'] };
  const text = JSON.stringify({ deployment: 'test', topology: 'topology.yaml', nats, coordinator });
  const { values, origins, problems } = checkConfiguration(file, text, {});
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  return { file, configuration: configurationOf(values), values, origins };
}
