import { launch } from './services/launch.js';

/** `isobar` as it is installed: without the reference engine, and so without the demo. */
await launch(async () => []);
