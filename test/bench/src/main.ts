import { benches } from './benches.js';
import { describeMachine } from './machine.js';

const [name = ''] = process.argv.slice(2);
const bench = benches.get(name);
if (bench === undefined) {
  const lines = [...benches].map(
    ([known, { description }]) => `  ${known.padEnd(12)}${description}`,
  );
  const what = name === '' ? 'name a benchmark' : `there is no benchmark ${JSON.stringify(name)}`;
  process.stderr.write(`bench: ${what}: npm run bench -- NAME\n${lines.join('\n')}\n`);
  process.exitCode = 2;
} else {
  const print = (text: string) => {
    process.stdout.write(`${text}\n\n`);
  };
  print(`# Bench: ${name}`);
  print(describeMachine());
  await bench.run(print);
}
