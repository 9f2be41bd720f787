"""Acting: one agent, T steps, B copies of K tasks, and what is recorded of it."""
