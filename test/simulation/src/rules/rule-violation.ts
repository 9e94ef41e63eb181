/**
 * The rules that must never break, as docs/ARCHITECTURE.md lists them; `L` holds after healing; `once` is
 * of operators' commands, `room` of what a message holds.
 */
export type Rule =
  | 'S1'
  | 'S2'
  | 'S3'
  | 'S4'
  | 'S5'
  | 'S6'
  | 'L1'
  | 'L2'
  | 'once'
  | 'machine'
  | 'room'
  | 'offer';

/** A rule is broken. `machine`: a machine has thrown, or did what no effect of it may do. */
export class RuleViolation extends Error {
  readonly rule: Rule;

  constructor(rule: Rule, text: string, options?: ErrorOptions) {
    super(`${rule}: ${text}`, options);
    this.name = 'RuleViolation';
    this.rule = rule;
  }
}
