import { EplbError } from '../eplb-error.js';

export function economyRefusal(field: string, what: string): EplbError {
  return new EplbError('ISOBAR_EPLB_ECONOMY_INVALID', `${field} ${what}`, { field });
}
