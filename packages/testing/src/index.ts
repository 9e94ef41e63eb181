export {
  type BundledServices,
  bundledIsobar,
  bundledScripts,
  bundleServices,
} from './bundled-services.js';
export {
  Cluster,
  type ClusterOptions,
  type ClusterSecurity,
  type ConfigurationGroups,
  type ServiceScripts,
} from './cluster.js';
export {
  cacheDirectory,
  type DebianExecutable,
  fetchDebianPackage,
  findExecutable,
} from './debian-package.js';
export {
  buildGoExecutable,
  currentNatsServer,
  type GoExecutable,
  kustomize,
  natsClient,
} from './go-executable.js';
export { locateNatsServer } from './locate-nats-server.js';
export { ManagedProcess, type ManagedProcessOptions } from './managed-process.js';
export {
  type NatsClusterPlace,
  type NatsServer,
  type NatsServerOptions,
  startNatsServer,
} from './nats-server.js';
export { NatsServers, type NatsServersOptions, natsServerName } from './nats-servers.js';
export { loopbackPlacement, type Placement } from './placement.js';
export { ProcessGuard } from './process-guard.js';
