import { z } from 'zod';
import { TraceError } from './trace-error.js';

/** Expert in every physical slot of every layer, [numLayers × numSlots]. */
export interface ExpertLocation {
  readonly numLayers: number;
  readonly numSlots: number;
  readonly physicalToLogical: Int32Array;
}

/** What SGLang's format needs of a mapping. */
export interface ExpertLocationSource {
  readonly numLayers: number;
  readonly numSlots: number;
  /** [numLayers × numSlots] */
  readonly physicalToLogical: ArrayLike<number>;
}

const MAX_TEXT_LENGTH = 2 ** 26;
const MAX_EXPERTS = 2 ** 20;

const schema = z.object({
  physical_to_logical_map: z
    .array(
      z
        .array(
          z
            .int()
            .min(0)
            .max(MAX_EXPERTS - 1),
        )
        .min(1),
    )
    .min(1),
});

/**
 * JSON that SGLang's `--init-expert-location` reads: a row of logical experts by slot for each
 * layer.
 * @throws TraceError ISOBAR_TRACE_INVALID where the array doesn't have that shape, or a slot is
 *   empty: SGLang has no empty slots
 */
export function toSglangExpertLocation(mapping: ExpertLocationSource): string {
  const { numLayers, numSlots, physicalToLogical } = mapping;
  for (const field of ['numLayers', 'numSlots'] as const) {
    const size = mapping[field];
    if (!Number.isInteger(size) || size < 1) throw invalid(field, 'must be a positive integer');
  }
  if (physicalToLogical.length !== numLayers * numSlots) {
    const what = `has ${physicalToLogical.length} entries, not ${numLayers} × ${numSlots}`;
    throw invalid('physicalToLogical', what);
  }
  const experts = Array.from(physicalToLogical);
  experts.forEach((expert, index) => {
    if (Number.isInteger(expert) && expert >= 0 && expert < MAX_EXPERTS) return;
    const layer = Math.floor(index / numSlots);
    const slot = index % numSlots;
    const what = `layer ${layer}, slot ${slot} holds no expert (${expert})`;
    throw invalid('physicalToLogical', what, { layer, slot });
  });
  const rows = Array.from({ length: numLayers }, (_, layer) =>
    experts.slice(layer * numSlots, (layer + 1) * numSlots),
  );
  return JSON.stringify({ physical_to_logical_map: rows });
}

/**
 * @throws TraceError ISOBAR_TRACE_FORMAT where the text is not JSON, ISOBAR_TRACE_INVALID naming
 *   the field, ISOBAR_TRACE_SIZES past 64 MiB
 */
export function fromSglangExpertLocation(text: string): ExpertLocation {
  const rows = parseRows(text);
  const numSlots = rows[0]?.length ?? 0;
  rows.forEach((row, layer) => {
    if (row.length === numSlots) return;
    const what = `has ${row.length} slots, and layer 0 has ${numSlots}`;
    throw invalid(`physical_to_logical_map.${layer}`, what, { layer });
  });
  return { numLayers: rows.length, numSlots, physicalToLogical: Int32Array.from(rows.flat()) };
}

function parseRows(text: string): number[][] {
  if (text.length > MAX_TEXT_LENGTH) {
    throw new TraceError(
      'ISOBAR_TRACE_SIZES',
      `an expert location of ${text.length} characters is longer than ${MAX_TEXT_LENGTH}`,
      { field: 'text', limit: MAX_TEXT_LENGTH },
    );
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new TraceError('ISOBAR_TRACE_FORMAT', 'expert location: is not JSON', {}, { cause });
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data.physical_to_logical_map;
  const issue = result.error.issues[0];
  throw invalid(issue?.path.join('.') ?? '', issue?.message ?? 'is not valid');
}

function invalid(
  field: string,
  what: string,
  fields: Readonly<Record<string, unknown>> = {},
): TraceError {
  return new TraceError('ISOBAR_TRACE_INVALID', `expert location: ${field}: ${what}`, {
    field,
    ...fields,
  });
}
