"""Learners whose adaptation is what a memory takes in."""
