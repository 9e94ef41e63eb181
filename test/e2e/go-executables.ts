import {
  buildGoExecutable,
  currentNatsServer,
  type GoExecutable,
  natsClient,
} from '@isobar/testing';

/** Null, and told, where it can't be built. */
async function built(executable: GoExecutable): Promise<string | null> {
  const { name, version } = executable;
  const untested = (why: string): null => {
    console.warn(`${name} ${version} is not tested: ${why}`);
    return null;
  };
  try {
    return (await buildGoExecutable(executable)) ?? untested('there is no Go to build it');
  } catch (cause) {
    return untested(String(cause));
  }
}

/** Path of a current nats-server. */
export const currentNatsServerPath = await built(currentNatsServer);

/** Path of the stock `nats` client. */
export const natsClientPath = await built(natsClient);
