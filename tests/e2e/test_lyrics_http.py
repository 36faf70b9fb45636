"""The story of words over HTTP: asked for on both paths, paid for, found again, put away, refused."""

import asyncio

from tests.e2e.conftest import Arrive
from tests.e2e.people import until

PATHS = ("/api/v1/ai/lyrics", "/api/ai/lyrics/generate")


async def test_words_on_both_paths(arrive: Arrive) -> None:
    """Both paths answer alike: two versions, ten credits each, found again in the history and in the ledger."""
    person = await arrive()
    wish = {"theme": "海边的夏天", "style": "民谣", "mood": "治愈", "seed": 7}
    answers = [await person.ask("POST", path, json=wish) for path in PATHS]
    for place, answer in enumerate(answers):
        assert answer.status == 200
        data = answer.body["data"]
        assert [version["label"] for version in data["versions"]] == ["A", "B"]
        assert data["request_id"] == data["lyrics"]["lyrics_id"]
        assert (data["cost_credits"], data["remaining_credits"]) == (10, 90 - 10 * place)
        assert data["lyrics"]["state"] == "ready"
        assert data["job"]["state"] == "completed"
        assert {version["language"] for version in data["versions"]} == {"zh"}
    first, second = (answer.body["data"] for answer in answers)
    assert [version["content"] for version in first["versions"]] == [
        version["content"] for version in second["versions"]
    ]
    history = (await person.call("GET", "/api/v1/lyrics"))["lyrics"]
    assert [each["lyrics_id"] for each in history] == [second["lyrics"]["lyrics_id"], first["lyrics"]["lyrics_id"]]
    await until(person.credits, lambda found: found == (80, 0))
    entries = (await person.call("GET", "/api/v1/wallet/entries"))["entries"]
    assert [entry["amount_credits"] for entry in entries] == [-10, -10, 100]


async def test_words_of_a_mini_program(arrive: Arrive) -> None:
    """Names in camel case are read, and the mini-program is answered like the web."""
    person = await arrive()
    wish = {"theme": "my blue bicycle", "requestId": "once", "seed": 3}
    headers = {"X-Platform": "wxmp"}
    answers = [await person.ask("POST", PATHS[1], json=wish, headers=headers) for _ in range(2)]
    assert answers[0].body["data"] == answers[1].body["data"]
    assert answers[0].body["data"]["request_id"] == "once"
    await until(person.credits, lambda found: found == (90, 0))


async def test_words_nobody_can_have(arrive: Arrive) -> None:
    """A theme too long or without anything to sing is refused by name, in both languages, and costs nothing."""
    for theme in ("x" * 5000, "🤖", ""):
        person = await arrive()
        for path in PATHS:
            answer = await person.ask("POST", path, json={"theme": theme})
            assert answer.refusal == (400, 10001, "PARAM_INVALID")
            assert answer.fields == {"theme"}
        assert await person.credits() == (100, 0)
        assert (await person.call("GET", "/api/v1/lyrics"))["lyrics"] == []


async def test_words_asked_for_too_often(arrive: Arrive) -> None:
    """Of eleven calls at once some are refused as 429 and say when to come back; only what was written is paid."""
    person = await arrive()
    calls = (person.ask("POST", PATHS[n % 2], json={"theme": f"歌{n}"}) for n in range(11))
    answers = await asyncio.gather(*calls)
    refused = [answer for answer in answers if answer.status != 200]
    written = 11 - len(refused)
    # Five a minute, and the minute may turn once.
    assert 1 <= written <= 10
    for answer in refused:
        # Some may meet the limit of works in the making first.
        assert answer.status == 429
        assert answer.body["error"] in {"RATE_LIMITED", "GENERATE_BUSY"}
        assert int(answer.headers["Retry-After"]) > 0
    await until(person.credits, lambda found: found == (100 - 10 * written, 0))
    assert len((await person.call("GET", "/api/v1/lyrics?page_size=50"))["lyrics"]) == written


async def test_words_of_somebody_else(arrive: Arrive) -> None:
    """Another person's words are not there, by their address and by their job's."""
    owner, other = await arrive(), await arrive()
    made = await owner.call("POST", PATHS[0], {"theme": "秘密"})
    for path in (f"/api/v1/lyrics/{made['lyrics']['lyrics_id']}", f"/api/v1/jobs/{made['job']['job_id']}"):
        assert (await other.ask("GET", path)).refusal == (404, 10002, "NOT_FOUND")
    assert (await other.ask("DELETE", f"/api/v1/lyrics/{made['lyrics']['lyrics_id']}")).status == 404
    path = f"/api/v1/lyrics/{made['lyrics']['lyrics_id']}"
    assert (await owner.ask("DELETE", path)).status == 200
    assert (await owner.ask("GET", path)).status == 404
