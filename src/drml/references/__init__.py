"""Exact optima and classical agents, against which learned ones are held; nothing here is learned."""
