"""Figures for papers, drawn by Matplotlib as PDF or PNG in column width.

`canvas` has what they share; the others draw, and know no file, store or command.
"""
