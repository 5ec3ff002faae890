"""Code found by function and syntax, whatever its formatting, comments, docstrings and place."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Span:
    """Span of some code in its file: lines from 1, columns in bytes from 0, as in `ast`."""

    line: int
    column: int
    end_line: int
    end_column: int
    kind: type[ast.AST]

    def replaced(self, text: str, code: str) -> str:
        """Return `text` with `code` in place of the span; expressions are put in parentheses."""
        lines = text.encode().splitlines(keepends=True)
        before = b"".join(lines[: self.line - 1]) + lines[self.line - 1][: self.column]
        after = lines[self.end_line - 1][self.end_column :] + b"".join(lines[self.end_line :])
        if issubclass(self.kind, ast.expr):
            code = f"({code.strip()})"
        else:
            code = code.strip().replace("\n", "\n" + " " * self.column)
        return (before + code.encode() + after).decode()


def find_code(root: Path, where: str, code: str) -> list[tuple[Path, Span]]:
    """Find all places of `code` in a function of the project at `root`.

    Args:
        root: the project; code is looked for in `bench`, `baselines` and modules at the root.
        where: `module:function` (see `tests.mutations.Mistake`).
        code: an expression, a keyword argument (`a=1`) or statements.
    """
    module, _, function = where.partition(":")
    wanted = [module.split("."), [*module.split("."), "__init__"]]
    found = []
    for folder in ("", "bench/**/", "baselines/**/"):
        for path in sorted(root.glob(f"{folder}*.py")):
            names = list(path.relative_to(root).with_suffix("").parts)
            if any(names[-len(each) :] == each for each in wanted):
                tree = ast.parse(path.read_text(encoding="utf-8"))
                found += [
                    (path, span)
                    for scope in _scopes(tree, function.split(".") if function else [])
                    for span in _spans(scope, code)
                ]
    return found


def _scopes(tree: ast.AST, names: Sequence[str]) -> Iterator[ast.AST]:
    """Yield the functions or classes of a qualified name; those under `if` or `with` too."""
    if not names:
        yield tree
        return
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, _SCOPES):
            yield from _scopes(node, names)
        elif node.name == names[0]:
            yield from _scopes(node, names[1:])


def _spans(scope: ast.AST, code: str) -> Iterator[Span]:
    """Yield every place in a scope whose syntax is that of `code`."""
    patterns = [[ast.dump(node) for node in nodes] for nodes in _readings(code.strip())]
    for node in _inside(scope):
        for _, value in ast.iter_fields(node):
            nodes = value if isinstance(value, list) else [value]
            dumps = [ast.dump(n) if isinstance(n, ast.AST) else "" for n in nodes]
            for pattern in patterns:
                for start in range(len(nodes) - len(pattern) + 1):
                    if dumps[start : start + len(pattern)] == pattern:
                        yield _span(nodes[start], nodes[start + len(pattern) - 1])


def _inside(node: ast.AST) -> Iterator[ast.AST]:
    """Yield a node and all below it, but for the parts of f-strings.

    Before 3.12 Python does not know where these stand.
    """
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.JoinedStr):
            yield from _inside(child)


def _span(first: ast.AST, last: ast.AST) -> Span:
    assert isinstance(first, ast.expr | ast.stmt | ast.keyword)
    assert isinstance(last, ast.expr | ast.stmt | ast.keyword)
    assert last.end_lineno is not None
    assert last.end_col_offset is not None
    return Span(first.lineno, first.col_offset, last.end_lineno, last.end_col_offset, type(first))


def _readings(code: str) -> list[Sequence[ast.AST]]:
    """Parse code as all that it may be: statements, and an expression or a keyword argument.

    Raises:
        SyntaxError: it is none of these.
    """
    readings: list[Sequence[ast.AST]] = []
    try:
        call = ast.parse(f"_({code}\n)", mode="eval").body
    except SyntaxError:
        pass
    else:
        assert isinstance(call, ast.Call)
        if len(call.args) + len(call.keywords) == 1:
            readings.append(call.args or call.keywords)
    try:
        statements = ast.parse(code).body
    except SyntaxError:
        if not readings:
            raise
    else:
        if statements and not (readings and isinstance(statements[0], ast.Expr)):
            readings.append(statements)
    return readings
