"""Bytes that nobody meant, for everything that parses: targets, seeds, and what once broke.

`tests/test_fuzz.py` gives them to Hypothesis; `make fuzz` to atheris, which watches the branches
taken. An input that broke something is kept in `kept/TARGET/`, and tried again by each of them.
"""
