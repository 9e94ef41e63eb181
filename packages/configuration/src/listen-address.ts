/** Where a process listens. */
export interface ListenAddress {
  /** Name or address; of IPv6 without brackets. */
  readonly host: string;
  /** 0 takes any that is free. */
  readonly port: number;
}

const portMax = 65_535;

/** `HOST:PORT`, with IPv6 in brackets; null for any other text. */
export function parseListenAddress(text: string): ListenAddress | null {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([^\s:/[\]]{1,253})):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host !== undefined && port <= portMax ? { host, port } : null;
}
