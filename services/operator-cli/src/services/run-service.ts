const services = {
  coordinator: () => import('@isobar/coordinator/main'),
  agent: () => import('@isobar/rank-agent/main'),
} as const;

export type ServiceName = keyof typeof services;

export function isService(name: string): name is ServiceName {
  return Object.hasOwn(services, name);
}

/** Becomes a service: it reads its own arguments, and ends the process itself. */
export async function runService(name: ServiceName, args: readonly string[]): Promise<void> {
  process.argv.splice(2, process.argv.length, ...args);
  await services[name]();
}
