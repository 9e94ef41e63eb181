/** What can be written in a configuration file of nats-server. */
export type ConfigurationValue =
  | string
  | number
  | boolean
  | readonly ConfigurationValue[]
  | ConfigurationFields;

export interface ConfigurationFields {
  readonly [key: string]: ConfigurationValue;
}

const lineMax = 100;

/** Renders the fields of a configuration file, or of a map within one. */
export function formatConfiguration(fields: ConfigurationFields, indent = ''): string {
  return Object.entries(fields)
    .map(([key, value]) => {
      const name = formatKey(key);
      return `${indent}${name}: ${formatValue(value, indent, indent.length + name.length + 2)}\n`;
    })
    .join('');
}

function formatKey(key: string): string {
  return /^[a-z_]+$/.test(key) ? key : JSON.stringify(key);
}

/** @param column where the value begins in its line */
function formatValue(value: ConfigurationValue, indent: string, column: number): string {
  const inOneLine = formatInOneLine(value);
  if (typeof value !== 'object' || column + inOneLine.length <= lineMax) return inOneLine;
  const inner = `${indent}  `;
  if (!isList(value)) return `{\n${formatConfiguration(value, inner)}${indent}}`;
  const items = value.map((item) => `${inner}${formatValue(item, inner, inner.length)}\n`);
  return `[\n${items.join('')}${indent}]`;
}

function formatInOneLine(value: ConfigurationValue): string {
  // Quoted as in JSON, which nats-server reads: `$` begins a variable only outside of quotes.
  if (typeof value !== 'object') return JSON.stringify(value);
  if (isList(value)) return `[${value.map(formatInOneLine).join(', ')}]`;
  const fields = Object.entries(value).map(
    ([key, field]) => `${formatKey(key)}: ${formatInOneLine(field)}`,
  );
  return `{ ${fields.join(', ')} }`;
}

function isList(value: ConfigurationValue): value is readonly ConfigurationValue[] {
  return Array.isArray(value);
}
