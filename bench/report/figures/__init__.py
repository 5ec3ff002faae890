"""Figures for papers, drawn by Matplotlib as PDF or PNG in column width.

`canvas` has the shared parts and `gather` collects results; the other modules only draw.
"""
