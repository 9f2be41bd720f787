"""Learners whose adaptation is a step of gradient from a learned prior."""
