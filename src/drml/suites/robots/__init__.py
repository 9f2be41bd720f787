"""Robots on batched MuJoCo: what each is, what its tasks ask, and who published them."""
