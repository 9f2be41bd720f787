"""Floor 1: batched environments, each one object for K tasks x B copies."""
