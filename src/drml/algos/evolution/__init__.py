"""Learners that try changed parameters and keep what did well: no gradient is taken."""
