export { type HistoryOptions, readHistory, renderEvent } from './commands/history-command.js';
export { CoordinatorClient, type DeploymentAddress } from './coordinator-client.js';
export {
  concludeRun,
  demoCluster,
  demoTrace,
  pauseAndSettle,
  runDemo,
  type WatchedRun,
} from './demo/demo.js';
export type { DemoOptions } from './demo/demo-options.js';
export { type AppliedRebalance, type DemoReport, isClean } from './demo/demo-report.js';
export { type PlanCommandOptions, plan } from './plan/plan-command.js';
export {
  balancednessBound,
  type PlanDocument,
  type PlanForecast,
  type PlanReport,
} from './plan/plan-document.js';
