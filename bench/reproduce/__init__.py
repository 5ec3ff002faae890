"""Reproduce published tables: suites, steps, and their state.

`suite` reads the description of a table, `steps` applies the user's choices, `networks` finds,
downloads and trains networks, and `stages` orders and runs all steps.
"""
