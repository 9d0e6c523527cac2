"""The parts of the page, one file each; `app.py` puts them together."""
