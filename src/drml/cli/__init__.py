"""The command line: `drml list`, `train`, `test`, `report` and `demo`."""
