"""Foreign environments: anything that speaks Gymnasium, as K tasks x B copies."""
