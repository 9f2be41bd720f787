"""Memories: what a policy remembers of the steps before this one."""
