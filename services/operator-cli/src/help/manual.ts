/** What a command's help says beside what its arguments and options say themselves. */
export interface Manual {
  /** Further paragraphs of the description. */
  readonly details?: readonly string[];
  /** Command lines as they are typed, with a word on what each is for. */
  readonly examples: readonly Example[];
  /** Other commands by their path, and documents. */
  readonly seeAlso: readonly string[];
  /** Exit codes with a meaning of their own here, over the common ones. */
  readonly exitCodes?: Readonly<Record<number, string>>;
}

export interface Example {
  readonly line: string;
  readonly does: string;
}
