"""Using the library from Python: a run is trained, looked at and gone on with through one handle."""
