export {
  Cluster,
  type ClusterOptions,
  type ClusterSecurity,
  type ServiceScripts,
} from './cluster.js';
export { type DebianExecutable, fetchDebianPackage, findExecutable } from './debian-package.js';
export { installNatsServer } from './install-nats-server.js';
export { locateNatsServer } from './locate-nats-server.js';
export { ManagedProcess, type ManagedProcessOptions } from './managed-process.js';
export { type NatsServer, type NatsServerOptions, startNatsServer } from './nats-server.js';
export { ProcessGuard } from './process-guard.js';
