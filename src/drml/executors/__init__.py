"""Where tasks run: in a process of their own, for instance."""
