"""Pictures of native environments: tiles on boards, and points in planes, drawn many at a time with NumPy."""
