"""Log lines are JSON, know their call, and never hold a secret."""

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.kit import log
from services.kit.clock import now
from tests.kit.echo_service import EchoRequest


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Any]:
    """Yield a function that returns what was logged so far; restores the root logger."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    log.configure("wallet", "debug", tmp_path)

    def read(name: str = "combined") -> list[dict[str, Any]]:
        return [
            json.loads(line)
            for path in sorted(tmp_path.glob(f"{name}-*.log"))
            for line in path.read_text().splitlines()
        ]

    yield read
    for handler in root.handlers:
        handler.close()
    root.handlers, root.level = before, level
    root.setLevel(level)


def test_a_line_has_time_level_service_and_context(lines: Any) -> None:
    """A line logged inside a context carries it, and one logged after it does not."""
    with log.context(trace_id="ab" * 16, user_id="u"), log.context(user_id="", platform="web"):
        logging.getLogger("x").info("hello %s", "world", extra={"track": 7})
    logging.getLogger("x").warning("bye")
    first, second = lines()
    assert first["message"] == "hello world"
    assert (first["level"], first["service"], first["logger"], first["track"]) == ("info", "wallet", "x", 7)
    assert (first["trace_id"], first["platform"]) == ("ab" * 16, "web")
    assert first["timestamp"].endswith("Z")
    assert "user_id" not in first
    assert "trace_id" not in second


def test_errors_also_go_to_a_file_of_their_own(lines: Any) -> None:
    """The error file holds errors only, with their stack."""
    logging.getLogger("x").info("fine")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        logging.getLogger("x").exception("broken")
    assert [line["message"] for line in lines("error")] == ["broken"]
    assert "ZeroDivisionError" in lines("error")[0]["stack"]
    assert len(lines()) == 2


@pytest.mark.parametrize(
    ("text", "gone", "kept"),
    [
        ("Authorization: Bearer abcdefgh12345", "abcdefgh12345", "Bearer"),
        ("got eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ1In0.c2lnbmF0dXJl here", "eyJ", "here"),
        ("cannot reach postgresql://u:hunter2@host/db", "hunter2", "@host/db"),
    ],
)
def test_secrets_in_text_are_covered(lines: Any, text: str, gone: str, kept: str) -> None:
    """Tokens and passwords inside a message or a stack do not reach the line."""
    logging.getLogger("x").info(text)
    assert gone not in json.dumps(lines())
    assert kept in lines()[0]["message"]


@pytest.mark.parametrize(
    "name", ["authorization", "access_token", "Password", "client_secret", "api_key", "session_key", "Set-Cookie"]
)
def test_secrets_by_name_are_covered(lines: Any, name: str) -> None:
    """A field that sounds like a secret is covered, however deep it lies."""
    logging.getLogger("x").info("m", extra={"headers": {name: "hunter2"}, "list": [{name: "hunter2"}]})
    assert "hunter2" not in json.dumps(lines())
    assert "***" in json.dumps(lines())


def test_numbers_of_tokens_are_no_secret(lines: Any) -> None:
    """Counts with `tokens` in their name stay readable."""
    logging.getLogger("x").info("m", extra={"input_tokens": 12})
    assert lines()[0]["input_tokens"] == 12


def test_marked_fields_of_messages_are_covered_at_any_depth(lines: Any) -> None:
    """A field marked debug_redact is covered in the message, in a child, and in a list of children."""
    message = EchoRequest(
        text="t", secret="hunter1", child={"secret": "hunter2"}, children=[{"text": "c"}, {"secret": "hunter3"}]
    )
    assert log.redacted(message) == {
        "text": "t",
        "secret": "***",
        "child": {"secret": "***"},
        "children": [{"text": "c"}, {"secret": "***"}],
    }
    assert message.secret == "hunter1"
    logging.getLogger("x").info("m", extra={"request": message})
    assert "hunter" not in json.dumps(lines())


def test_what_json_cannot_hold_is_written_as_text(lines: Any) -> None:
    """A field of any type makes a line, bytes by their length."""
    logging.getLogger("x").info("m", extra={"path": Path("/x"), "data": b"secret", "when": now()})
    line = lines()[0]
    assert (line["path"], line["data"]) == ("/x", "6 bytes")


def test_a_full_file_is_followed_by_another(tmp_path: Path) -> None:
    """Past the size limit a new file is begun, and a second process goes on in the same one."""
    handlers = [log.DailyFiles(tmp_path, "combined", limit_bytes=200) for _ in range(2)]
    for number in range(6):
        record = logging.LogRecord("x", logging.INFO, "", 0, f"{number}" * 90, (), None)
        handlers[number % 2].emit(record)
    for handler in handlers:
        handler.close()
    files = sorted(path.name for path in tmp_path.iterdir())
    date = now().strftime("%Y-%m-%d")
    assert files[0] == f"combined-{date}.1.log"
    assert files[-1] == f"combined-{date}.log"
    assert sum(len(path.read_text().splitlines()) for path in tmp_path.iterdir()) == 6
    assert all(path.stat().st_size < 400 for path in tmp_path.iterdir())


def test_files_older_than_thirty_days_go(tmp_path: Path) -> None:
    """Opening a day's file removes those of more than thirty days ago, and only this log's."""
    old, young = (now() - timedelta(days=days) for days in (31, 29))
    names = [f"combined-{old:%Y-%m-%d}.log", f"combined-{young:%Y-%m-%d}.log", f"error-{old:%Y-%m-%d}.log", "notes.txt"]
    for name in names:
        (tmp_path / name).touch()
    handler = log.DailyFiles(tmp_path, "combined")
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "m", (), None))
    handler.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert names[0] not in left
    assert set(names[1:]) <= left


def test_lines_go_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder the lines are on stdout and nowhere else."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers = []
    try:
        log.configure("wallet", "info")
        logging.getLogger("x").info("hello")
        assert len(root.handlers) == 1
    finally:
        root.handlers = before
        root.setLevel(level)
    assert json.loads(capsys.readouterr().out)["message"] == "hello"
