"""Floor 1: policies, which turn parameters and observations into action distributions."""
