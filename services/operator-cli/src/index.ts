export { demoCluster, demoTrace, runDemo, serviceScripts } from './demo/demo.js';
export type { DemoOptions } from './demo/demo-options.js';
export { type DemoReport, isClean } from './demo/demo-report.js';
