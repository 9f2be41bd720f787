"""Executors: tasks that run elsewhere than in this process, in one of their own for instance."""
