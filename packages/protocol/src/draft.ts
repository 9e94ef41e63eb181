/** A step's own copy of its machine's state, changed in place until the step is over. */
export type Draft<State> = { -readonly [Field in keyof State]: State[Field] };
