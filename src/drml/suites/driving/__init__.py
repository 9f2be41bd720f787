"""Driving in traffic: cars that follow and change lanes by the field's models, and one that is driven."""
