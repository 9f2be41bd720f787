"""Engines that step K tasks x B copies in one call: native, on MuJoCo, and whatever speaks Gymnasium."""
