"""The command line: `drml list`, `train`, `test`, `adapt`, `report` and more."""
