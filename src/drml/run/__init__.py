"""A run on disk: what was asked for, how far it has come, what was measured; begun, stopped, resumed, tested."""
