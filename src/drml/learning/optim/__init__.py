"""Floor 3: optimisers as pure functions from values to values."""
