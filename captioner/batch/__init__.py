"""The batch command: photographs of many kinds in, rows out, and a run that can be stopped and gone on with."""
