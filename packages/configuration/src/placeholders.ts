import { z } from 'zod';

const placeholders = /\{(?:rank|localRank)\}/g;

/** What a text with placeholders is for a rank. */
export function fillPlaceholders(template: string, rank: number, localRank: number): string {
  return template.replaceAll('{rank}', `${rank}`).replaceAll('{localRank}', `${localRank}`);
}

/** A text with no placeholder but `{rank}` and `{localRank}`. */
export const templateSchema = z
  .string()
  .max(4_096)
  .refine((value) => !/[{}]/.test(value.replaceAll(placeholders, '')));

/** What it is for a rank of one digit: what can be said of it before the rank is known. */
export function filledByDigits(template: string): string {
  return template.replaceAll(placeholders, '0');
}
