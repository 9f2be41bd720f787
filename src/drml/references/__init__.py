"""Floor 2: exact optima and classical agents, against which learned ones are held; nothing here is learned."""
