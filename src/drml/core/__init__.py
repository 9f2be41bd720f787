"""Floor 0: the values, trees, random streams, checks and distributions that everything else is made of."""
