import type { Command } from 'commander';
import { runService, type ServiceName } from './run-service.js';

/** The services, as commands: told of in the help, and completed. */
export function addServices(program: Command): void {
  const coordinator = program
    .command('coordinator')
    .description('Runs a coordinator of a deployment, until SIGTERM or SIGINT.');
  const agent = program
    .command('agent')
    .description('Runs the agent of one rank, until SIGTERM or SIGINT.')
    .option(
      '--rank <number>',
      'the rank; else ISOBAR_RANK, else what torchrun, Slurm or Kubernetes say',
    );
  add(coordinator, 'coordinator');
  add(agent, 'agent');
}

function add(command: Command, name: ServiceName): void {
  command
    .requiredOption('--config <file>', "the deployment's configuration, in YAML")
    .action(() => runService(name, argumentsOf(command)));
}

function argumentsOf(command: Command): string[] {
  return Object.entries(command.opts<Readonly<Record<string, string>>>()).flatMap(
    ([option, value]) => [`--${option}`, value],
  );
}
