"""Escape external text for its destination.

Method titles, test-set names and reasons come from configuration, plugins and error messages: none
of them may switch a terminal's colours, read a file into LaTeX, or start a spreadsheet formula.
"""

import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_MARKDOWN = {character: f"\\{character}" for character in "\\`*_[]#|~$"} | {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
}

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # A straight one is active in some of babel's languages.
    '"': "''",
    # Bare, these would be an option of the \\ or the rule before them.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    # Grouped, it makes no ligature with a neighbour.
    "`": "{`}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "{`}",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\N{HORIZONTAL ELLIPSIS}": r"\dots{}",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{INFINITY}": r"$\infty$",
    "\N{UPWARDS ARROW}": r"$\uparrow$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{RIGHTWARDS ARROW}": r"$\rightarrow$",
    "\N{GREEK SMALL LETTER ETA}": r"$\eta$",
    "\N{GREEK SMALL LETTER LAMDA}": r"$\lambda$",
    "\N{GREEK SMALL LETTER SIGMA}": r"$\sigma$",
    "\N{GREEK SMALL LETTER TAU}": r"$\tau$",
    "\N{GREEK SMALL LETTER OMEGA}": r"$\omega$",
}

# What begins a formula, and the wide forms that spreadsheets read alike.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")

# The letters of Latin-1 and Latin Extended-A that pdflatex's default font can't set.
_LATEX_LACKS = frozenset("ÐÞðþĄąĐđĘęĦħĮįĸĿŀŉŊŋŦŧŲų")


def visible(text: str) -> str:
    """Escape for a terminal: control and invisible characters except line breaks as U+FFFD."""
    return "".join(
        c
        if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"}
        else (" " if c.isspace() else REPLACEMENT)
        for c in text
    )


def one_line(text: str) -> str:
    """Escape as `visible` and join blanks into one line."""
    return " ".join(visible(text).split())


def latex_text(text: str) -> str:
    """Escape for LaTeX's text mode.

    What pdflatex sets without further packages is set; any other character is named, as U+4E2D, so
    that the document compiles.
    """
    line = one_line(text)
    return "".join(
        # An empty group keeps two of a kind from joining into a dash or a quotation mark.
        "{}" * (c == previous and c in "-',") + _latex_character(c)
        for previous, c in zip(f" {line}", line, strict=False)
    )


def markdown_text(text: str) -> str:
    """Escape for a Markdown cell or paragraph: no markup, no HTML."""
    return "".join(_MARKDOWN.get(c, c) for c in one_line(text))


def csv_text(text: str) -> str:
    """Escape for a CSV cell; formulas get a leading quote."""
    line = one_line(text)
    return f"'{line}" if line.startswith(_FORMULA) else line


def _latex_character(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    latin = character.isalpha() and "À" <= character <= "ž"
    if character.isascii() or (latin and character not in _LATEX_LACKS):
        return character
    return f"U+{ord(character):04X}"
