import { z } from 'zod';

/** The part of JSON Schema that the commands' schemas are written in; anything else is refused. */
const schemaNode = z.strictObject({
  $schema: z.string().optional(),
  type: z.union([z.string(), z.array(z.string())]).optional(),
  description: z.string().optional(),
  default: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  minimum: z.number().optional(),
  exclusiveMinimum: z.number().optional(),
  maximum: z.number().optional(),
  minLength: z.number().optional(),
  maxLength: z.number().optional(),
  minItems: z.number().optional(),
  maxItems: z.number().optional(),
  pattern: z.string().optional(),
  required: z.array(z.string()).optional(),
  propertyNames: z.unknown().optional(),
  get properties() {
    return z.record(z.string(), schemaNode).optional();
  },
  get additionalProperties() {
    return z.union([z.boolean(), schemaNode]).optional();
  },
  get items() {
    return schemaNode.optional();
  },
  get anyOf() {
    return z.array(schemaNode).optional();
  },
});
export type SchemaNode = z.infer<typeof schemaNode>;

export function readSchema(text: string): SchemaNode {
  return schemaNode.parse(JSON.parse(text));
}

/** Where a value is not what a schema says; empty where it is. */
export function violations(schema: SchemaNode, value: unknown, path = '$'): string[] {
  if (schema.anyOf !== undefined) {
    const all = schema.anyOf.map((option) => violations(option, value, path));
    return all.some((found) => found.length === 0) ? [] : all.flat();
  }
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length > 0 && !types.some((type) => isOfType(type, value))) {
    return [`${path} is ${JSON.stringify(value)}, not ${types.join(' or ')}`];
  }
  if (schema.enum !== undefined && !schema.enum.includes(value)) {
    return [`${path} is ${JSON.stringify(value)}, none of ${schema.enum.join(', ')}`];
  }
  if (typeof value === 'number') return numberViolations(schema, value, path);
  if (typeof value === 'string') return textViolations(schema, value, path);
  if (Array.isArray(value)) return listViolations(schema, value, path);
  if (typeof value === 'object' && value !== null) return objectViolations(schema, value, path);
  return [];
}

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case 'null':
      return value === null;
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}

function numberViolations(schema: SchemaNode, value: number, path: string): string[] {
  const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity } = schema;
  const isWithin = value >= minimum && value <= maximum && value > exclusiveMinimum;
  return isWithin ? [] : [`${path} is ${value}, out of its limits`];
}

function textViolations(schema: SchemaNode, value: string, path: string): string[] {
  const { minLength = 0, maxLength = Infinity, pattern } = schema;
  const isWithin = value.length >= minLength && value.length <= maxLength;
  const matches = pattern === undefined || new RegExp(pattern).test(value);
  return isWithin && matches ? [] : [`${path} is ${JSON.stringify(value)}, out of its limits`];
}

function listViolations(schema: SchemaNode, value: unknown[], path: string): string[] {
  const { minItems = 0, maxItems = Infinity, items } = schema;
  const isWithin = value.length >= minItems && value.length <= maxItems;
  const inner =
    items === undefined
      ? []
      : value.flatMap((item, index) => violations(items, item, `${path}[${index}]`));
  return isWithin ? inner : [`${path} has ${value.length} items`, ...inner];
}

function objectViolations(schema: SchemaNode, value: object, path: string): string[] {
  const { properties = {}, required = [], additionalProperties = true } = schema;
  const entries = Object.entries(value);
  const missing = required
    .filter((name) => !entries.some(([own]) => own === name))
    .map((name) => `${path}.${name} is missing`);
  const inner = entries.flatMap(([name, field]) => {
    const own = properties[name] ?? additionalProperties;
    if (own === true) return [];
    return own === false
      ? [`${path}.${name} is not told of`]
      : violations(own, field, `${path}.${name}`);
  });
  return [...missing, ...inner];
}
