"""Published experiments as configurations, with the numbers that they should reach."""
