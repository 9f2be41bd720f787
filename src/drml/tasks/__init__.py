"""Floor 1: which tasks there are, how they are split, and how they are drawn."""
