/** What `isobar demo` is asked for. */
export interface DemoOptions {
  readonly ranks: number;
  readonly nodes: number;
  /** Physical slots of a layer, over all ranks. */
  readonly slots: number;
  /** A load or token trace; generated traffic where absent. */
  readonly trace?: string;
  readonly durationMs: number;
  readonly seed: number;
  readonly activation: 'two-table' | 'in-place';
  readonly json: boolean;
}
