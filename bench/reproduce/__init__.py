"""Reproduce published tables: suites, steps, and their state.

`suite` reads what a table consists of, `steps` what the user chose of it; `networks` finds, fetches
and trains; `stages` puts all steps in order and carries them out.
"""
