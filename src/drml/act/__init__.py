"""Using what was learned: agents that act and adapt in the user's own program."""
