"""Floor 4: the learners, one file each; they never import each other."""
