/** Where the image has a service's HTTP listener. */
export const defaultListen = '127.0.0.1:9480';

/**
 * Where a service that runs here tells whether it lives, or is ready.
 * @param listen its option `http.listen`: `host:port`, where the host may stand for every address
 * @throws TypeError where it is none, such as one with a placeholder
 */
export function probeUrl(listen: string, probe: 'livez' | 'readyz'): URL {
  const url = new URL(`http://${listen}/${probe}`);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url;
}
