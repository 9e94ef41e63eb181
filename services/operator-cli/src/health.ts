/** Where the image has a service's HTTP listener. */
export const defaultListen = '127.0.0.1:9480';

/**
 * Where a service that runs here tells whether it is ready.
 * @param listen its option `http.listen`: `host:port`, where the host may stand for every address
 */
export function readinessUrl(listen: string): URL {
  const url = new URL(`http://${listen}/readyz`);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url;
}
