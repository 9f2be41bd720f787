"""What there is to meet: families of tasks, and their registry."""
