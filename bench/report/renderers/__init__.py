"""Renderers of tables: terminal, LaTeX, Markdown, CSV and JSON."""
