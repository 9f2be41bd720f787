"""Values, trees, random streams, checks and distributions, which everything else is made of."""
