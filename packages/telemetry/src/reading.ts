/** One series of a metric. */
export interface Reading {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string | number>>;
}

/** A series without labels; none where the value is not known. */
export function numberReading(value: number | null | undefined): Reading[] {
  return value === null || value === undefined ? [] : [{ value }];
}

/** 1 for yes. */
export function flagReading(is: boolean): Reading[] {
  return [{ value: is ? 1 : 0 }];
}
