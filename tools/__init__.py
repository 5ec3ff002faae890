"""Commands that write pages of the documentation: `python -m tools.NAME`."""
