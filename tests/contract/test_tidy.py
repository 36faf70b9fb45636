"""House rules that no linter knows, as tests over the syntax trees of our own files."""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OWN = ("services", "gateway", "tests", "migrations")
BANNED = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "base"}
MODULE_LINES = 400
FUNCTION_LINES = 60
POSITIONAL = 4


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def _files(*folders: str) -> tuple[Path, ...]:
    return tuple(
        sorted(
            path
            for folder in folders
            for path in (ROOT / folder).rglob("*.py")
            if "__pycache__" not in path.parts and "node_modules" not in path.parts
        )
    )


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


OWN_FILES = pytest.mark.parametrize("path", _files(*OWN), ids=_name)
CODE_FILES = pytest.mark.parametrize("path", _files("services", "gateway"), ids=_name)


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@OWN_FILES
def test_size(path: Path) -> None:
    """No module is longer than 400 lines, and no function of the code longer than 60."""
    text = path.read_text(encoding="utf-8")
    longest = max(((f.end_lineno or 0) - f.lineno + 1 for f in _functions(_tree(path))), default=0)

    assert len(text.splitlines()) <= MODULE_LINES
    if path.relative_to(ROOT).parts[0] in {"services", "gateway"}:
        assert longest <= FUNCTION_LINES


@OWN_FILES
def test_name(path: Path) -> None:
    """No file and no folder bears a name that says nothing."""
    assert not BANNED & {part.removesuffix(".py") for part in path.relative_to(ROOT).parts}


@CODE_FILES
def test_docstring(path: Path) -> None:
    """Every module that holds code says why it exists."""
    tree = _tree(path)

    assert not tree.body or ast.get_docstring(tree)


@pytest.mark.parametrize("path", [p for p in _files("services") if "domain" in _name(p)], ids=_name)
def test_domain_does_not_wait(path: Path) -> None:
    """The domain never awaits."""
    tree = _tree(path)

    assert not any(isinstance(node, ast.Await | ast.AsyncFunctionDef) for node in ast.walk(tree))


@CODE_FILES
def test_positional_parameters(path: Path) -> None:
    """Beyond four positional parameters (six inside a module) callers must name them, and a flag is always named."""
    tree = _tree(path)
    for function in _functions(tree):
        own = [each for each in (*function.args.posonlyargs, *function.args.args) if each.arg not in {"self", "cls"}]
        flags = [
            each.arg
            for each in own
            if isinstance(each.annotation, ast.Name) and each.annotation.id == "bool" and function.name[0] != "_"
        ]

        most = POSITIONAL + 2 * function.name.startswith("_")

        assert len(own) <= most, f"{function.name} at line {function.lineno}"
        assert not flags or function.name == "get_state", f"{function.name} takes flags {flags} by position"


def _remote_calls(block: ast.AsyncWith) -> Iterator[ast.Call]:
    """Yield calls to stubs and providers inside the block: capitalised methods, and attributes named after vendors."""
    for node in ast.walk(block):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            remote = re.search(r"\b_?(wallet|media|composer|auth|share|provider|stub|objects|http)\b$", owner)
            if remote and re.match(r"[A-Z]", node.func.attr):
                yield node


@pytest.mark.parametrize("path", [p for p in _files("services") if "usecases" in _name(p)], ids=_name)
def test_no_remote_call_inside_a_transaction(path: Path) -> None:
    """No other service is called while a transaction is open."""
    tree = _tree(path)
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith) and "transaction(" in ast.unparse(node.items[0]):
            assert [call.lineno for call in _remote_calls(node)] == []


@pytest.mark.parametrize("path", [p for p in _files("tests") if p.name.startswith("test_")], ids=_name)
def test_tests_state_their_fact(path: Path) -> None:
    """Every test says in its docstring which fact it proves, and asserts it, expects an error or waits with a limit."""
    tree = _tree(path)
    for function in _functions(tree):
        if function.name.startswith("test_"):
            source = ast.unparse(function)

            assert ast.get_docstring(function), f"{function.name} states no fact"
            assert re.search(r"\bassert\b|raises\(|\bcheck_\w+\(|timeout\(|\bexpect\(|\buntil\w*\(", source), (
                f"{function.name} asserts nothing"
            )


def _tracked() -> list[str]:
    done = subprocess.run(
        ["git", "ls-files"],  # noqa: S607  # whichever git is installed
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout.splitlines()


TOP = {
    "proto", "gen", "services", "gateway", "migrations", "tests", "buf.yaml", "docker-compose.yml", "pyproject.toml",
    "README.md", "Makefile", "requirements.lock", "requirements-dev.lock", "requirements-bench.lock", "Dockerfile",
    "LICENSE",
}  # fmt: skip


def test_top_level_is_fixed() -> None:
    """Nothing stands at the top level but what was agreed and dotfiles."""
    found = {name.split("/")[0] for name in _tracked()}

    assert {name for name in found - TOP if not name.startswith(".")} == set()


def test_no_address_leaks() -> None:
    """No file names a package index, a machine's path or an unfinished thought."""
    forbidden = re.compile(r"--(extra-)?index-url|--find-links|/root/|/work/|\bTODO\b|\bFIXME\b|\bXXX\b")
    for name in _tracked():
        path = ROOT / name
        if name.startswith(("gen/", "proto/google/", "proto/buf/")) or name.endswith("test_tidy.py"):
            continue
        if path.suffix in {".py", ".proto", ".md", ".toml", ".yml", ".yaml", ".js", ".css", ".html", ".lock", ""}:
            found = forbidden.search(path.read_text(encoding="utf-8", errors="ignore"))

            assert not found, f"{name}: {found and found.group()}"


def test_every_module_is_used() -> None:
    """Every module of the code is imported by another one, or is an entry point."""
    imported: set[str] = set()
    for path in _files("services", "gateway", "tests", "migrations"):
        package = ".".join(path.relative_to(ROOT).with_suffix("").parts[:-1])
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                source = node.module or ""
                if node.level:
                    source = ".".join([*package.split(".")[: len(package.split(".")) - node.level + 1], source])
                imported |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    # Alembic finds the tables by their place.
    entries = re.compile(r"__main__|__init__|\.worker$|\.storage\.tables$")
    lonely = [
        name
        for path in _files("services", "gateway")
        if (name := ".".join(path.relative_to(ROOT).with_suffix("").parts)) not in imported
        and not entries.search(name)
        and not _run_as_program(name)
    ]

    assert lonely == []


@cache
def _all_code() -> str:
    return "".join(path.read_text(encoding="utf-8") for path in _files("services", "gateway"))


def _run_as_program(module: str) -> bool:
    """Say whether another file, or make, starts the module by its name."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return f'"{module}"' in _all_code() or f"-m {module}" in makefile
