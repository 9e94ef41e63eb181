export { CoordinatorClient, type DeploymentAddress } from './coordinator-client.js';
export {
  concludeRun,
  demoCluster,
  demoTrace,
  pauseAndSettle,
  runDemo,
  serviceScripts,
  type WatchedRun,
} from './demo/demo.js';
export type { DemoOptions } from './demo/demo-options.js';
export { type AppliedRebalance, type DemoReport, isClean } from './demo/demo-report.js';
