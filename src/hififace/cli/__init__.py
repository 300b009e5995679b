"""The commands: one file each, named in the table of `main.py`."""
