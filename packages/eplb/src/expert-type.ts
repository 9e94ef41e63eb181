/** What a number that names an expert means. */
export const ExpertType = {
  /** An expert of the model. */
  LOGICAL: 'logical',
  /** The first slot, in slot order, that holds a logical expert. */
  PHYSICAL: 'physical',
  /** Any further slot that holds the same logical expert. */
  REDUNDANT: 'redundant',
} as const;

export type ExpertType = (typeof ExpertType)[keyof typeof ExpertType];
