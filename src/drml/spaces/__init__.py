"""Gymnasium's spaces, and what of them a policy sees and does."""
