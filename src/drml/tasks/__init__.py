"""Tasks: the distributions that they are drawn from, their splits, and the samplers that draw them."""
