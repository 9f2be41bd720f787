"""Floor 5: published experiments as configurations, with the numbers that they should reach."""
