"""Figures for papers, drawn by Matplotlib from plain data: PDF or PNG, in the width of a column.

`canvas` has what they share; the others draw, and know no file, store or command.
"""
