import { launch } from './services/launch.js';

/** `isobar` as a clone of the project has it: with the demo. */
await launch(async () => [(await import('./demo/demo-command.js')).addDemo]);
