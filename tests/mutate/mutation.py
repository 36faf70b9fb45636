"""Small changes to a module's syntax tree, each of which some test ought to notice.

Operators, after the usual sufficient set: comparisons moved by one or negated, `and` for `or`,
conditions without their `not`, plus for minus, whole numbers and truths changed, statements and
return values dropped. What only speaks to people (docstrings, logs, messages) stays as it is.
"""

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
}
_SPEAKING = ("_log.", "log.", "crash.", "telemetry.", "self._log_")


@dataclass(frozen=True)
class Mutant:
    """One changed module."""

    module: str
    where: str
    before: str
    after: str
    line: int
    source: str

    @property
    def name(self) -> str:
        """Return what identifies the change also when lines move."""
        return f"{self.module} {self.where}: {self.before} => {self.after}"


@dataclass(frozen=True)
class _Place:
    """A node to change, found again in a copy of the tree by its number in the walk."""

    number: int
    where: str
    change: Callable[[ast.AST], None]


def mutants(module: str, source: str) -> list[Mutant]:
    """Return all mutants of the module; every one compiles."""
    tree = ast.parse(source)
    found = []
    for place in _places(tree):
        changed = copy.deepcopy(tree)
        node = _walk(changed)[place.number][0]
        before = _text(node)
        place.change(node)
        ast.fix_missing_locations(changed)
        text = ast.unparse(changed)
        compile(text, module, "exec")
        found.append(Mutant(module, place.where, before, _text(node), getattr(node, "lineno", 0), text))
    return found


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def _walk(tree: ast.Module) -> list[tuple[ast.AST, str]]:
    """Return every node that may be changed, with the function it stands in, in a fixed order."""
    found: list[tuple[ast.AST, str]] = []

    def visit(node: ast.AST, where: str) -> None:
        found.append((node, where))
        for child in _changeable(node):
            inner = where
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner = f"{where}.{child.name}" if where else child.name
            visit(child, inner)

    visit(tree, "")
    return found


def _changeable(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the children without annotations, decorators, docstrings and what speaks to people only."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "bases", "keywords_of_class", "type_comment"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _speaks(child):
                yield child


def _speaks(node: ast.AST) -> bool:
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr):
        return True
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return True
    if isinstance(node, ast.Expr):
        if isinstance(node.value, ast.Constant):
            return True
        return ast.unparse(node.value).removeprefix("await ").startswith(_SPEAKING)
    return False


def _places(tree: ast.Module) -> Iterator[_Place]:
    for number, (node, where) in enumerate(_walk(tree)):
        for change in _changes(node):
            yield _Place(number, where, change)


def _changes(node: ast.AST) -> Iterator[Callable[[ast.AST], None]]:
    match node:
        case ast.Compare(ops=[operator]):
            for other in _COMPARISONS.get(type(operator), ()):
                yield _operator("ops", [other()])
        case ast.BoolOp(op=ast.And()):
            yield lambda node: setattr(node, "op", ast.Or())
        case ast.BoolOp(op=ast.Or()):
            yield lambda node: setattr(node, "op", ast.And())
        case ast.BinOp(op=operator) if type(operator) in _ARITHMETIC:
            other_operator = _ARITHMETIC[type(operator)]
            yield lambda node: setattr(node, "op", other_operator())
        case ast.If(test=ast.UnaryOp(op=ast.Not(), operand=operand)):
            yield lambda node: setattr(node, "test", operand)
        case ast.Constant(value=bool() as truth):
            yield lambda node: setattr(node, "value", not truth)
        case ast.Constant(value=int() as count):
            yield lambda node: setattr(node, "value", count + 1)
        case ast.Return(value=ast.expr() as value) if not (isinstance(value, ast.Constant) and value.value is None):
            yield lambda node: setattr(node, "value", ast.Constant(None))
        case ast.Expr() | ast.Raise():
            yield _drop
        case ast.AugAssign():
            yield _drop
        case _:
            return


def _operator(field: str, value: object) -> Callable[[ast.AST], None]:
    return lambda node: setattr(node, field, value)


def _drop(node: ast.AST) -> None:
    """Turn a statement into nothing, where it stands."""
    node.__class__ = ast.Pass
    for name in ("value", "exc", "cause", "target", "op"):
        if hasattr(node, name):
            delattr(node, name)
