"""Games on grids of cells whose rules, layouts or meanings are hidden: lakes, objects to remember, worlds of rules."""
