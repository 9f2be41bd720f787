"""Task samplers, one file each, and their registry."""
