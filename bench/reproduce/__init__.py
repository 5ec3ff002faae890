"""Reproduce a published table: what it needs, in which order, and what is done of it already.

`suite` reads what a table consists of, `steps` what the user chose of it; `networks` finds, fetches
and trains; `stages` puts all steps in order and carries them out.
"""
