"""Fuzzing of everything that parses: Hypothesis damages the seeds of each target.

An input that once broke a parser is kept in `kept/TARGET/` and tried again by the tests.
"""
