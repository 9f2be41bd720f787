"""Learners by family; they never import each other."""
