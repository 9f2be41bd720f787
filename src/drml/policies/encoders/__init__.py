"""Encoders: from observations to the features that a policy acts on."""
