"""The method: sample tasks, act and adapt on each, improve what they share, validate, repeat."""
