"""One mesh with the sandbox: what is made for a person is one trace, and nothing secret is anywhere.

The same run serves both questions, since both need a whole mesh that has done everything.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from services.kit import tracing
from services.kit.db.engine import Database
from services.kit.sealing import Sealer
from services.mesh.client import ApiError, Client
from services.mesh.up import RunningMesh, running_mesh
from tests.e2e.conftest import home_at
from tests.e2e.people import until
from tests.fakes.aliyun_sms import KEY_SECRET as SMS_SECRET
from tests.fakes.gemini import KEY as GEMINI_KEY
from tests.fakes.otlp import SECRET_KEY, ReceivedSpan, authorization
from tests.fakes.smtp import PASSWORD as SMTP_PASSWORD
from tests.fakes.wechat import APP_SECRET, PUSH_AES_KEY, PUSH_TOKEN

PLATFORMS = ("web", "wxmp")
# What a person says and gives; each word is found nowhere else.
THEME = "海边canarytheme的夏天"
WORDS = "[verse]\ncanarylyric blue river\nrunning down to the sea\n[chorus]\ncanarylyric carry me home"
TITLE = "canarytitle"
MAIL = "canary.person.{}@example.org"
PHONE = "+861380013800{}"
PARROTS = ("gemini", "openai_chat", "suno", "aliyun_sms", "wechat")
VERDICT = "cadenza.composer.v1.ModerationService/AcceptWechatPush"
ENVIRONMENT = {"SANDBOX": "1", "SANDBOX_PORT": "0", "LOG_LEVEL": "debug"}


@dataclass
class Seen:
    """What the run of one platform left: its works, and everything that came back besides them."""

    platform: str
    secrets: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    traces: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    refusals: list[str] = field(default_factory=list)
    entries: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Run:
    """A mesh after its run: who did what, the spans that were sent, and where its logs are."""

    seen: dict[str, Seen]
    spans: list[ReceivedSpan]
    pages: dict[str, str]
    logs: Path
    rows: str = ""

    def trace(self, trace_id: str) -> list[ReceivedSpan]:
        """Return the spans of a trace."""
        return [each for each in self.spans if each.trace_id == trace_id]


async def _refused(seen: Seen, call: Any) -> None:
    """Keep what a refusal says."""
    with pytest.raises(ApiError) as refused:
        await call
    seen.refusals.append(f"{refused.value} {refused.value.details}")


async def _person(mesh: RunningMesh, platform: str) -> Seen:
    """Log in through WeChat's stand-in, write words, make a song, and be refused in some ways."""
    seen = Seen(platform)
    async with Client(mesh.base_url, platform=platform) as client:
        async with client.session.post(
            f"{mesh.sandbox_url}/wechat/_sandbox/codes", json={"openid": f"canary-open-{platform}"}
        ) as made:
            code = (await made.json())["code"]
        login = await client.call("POST", "/api/v1/auth/wechat", {"code": code, "nick_name": "canarynick"})
        client.token = login["access_token"]
        seen.secrets += [code, login["access_token"], login["refresh_token"], f"canary-open-{platform}"]

        await _session_key(mesh, client, seen)
        for channel, target in (("sms", PHONE), ("email", MAIL)):
            await _log_in_by_code(mesh, client, seen, channel, target.format(PLATFORMS.index(platform)))
        await _with_a_password(mesh, client, seen)

        seen.traces["lyrics"] = f"{1 if platform == 'web' else 2:032x}"
        wish = {"theme": THEME, "style": "民谣", "seed": 7}
        words = await client.call("POST", "/api/v1/ai/lyrics", wish, X_Trace_Id=seen.traces["lyrics"])
        seen.jobs["lyrics"] = words["job"]["job_id"]

        seen.traces["music"] = f"{3 if platform == 'web' else 4:032x}"
        song = {"lyrics": WORDS, "title": TITLE, "voice_gender": "none", "duration_s": 30, "style": "folk", "seed": 5}
        begun = await client.call("POST", "/api/v1/tracks", song, X_Trace_Id=seen.traces["music"])
        seen.jobs["music"] = begun["job_id"]

        await _refused(seen, client.call("POST", "/api/v1/ai/lyrics", {"theme": "canarytheme" * 500}))
        await _refused(seen, client.call("POST", "/api/v1/auth/wechat", {"code": code, "nick_name": MAIL.format("x")}))
        await _refused(seen, client.call("GET", f"/api/v1/tracks/{MAIL.format('x')}"))
        await _refused(seen, client.call("POST", "/api/v1/tracks", {**song, "voice_gender": PHONE.format(0)}))
        await _refused(seen, client.call("GET", "/api/v1/lyrics", Authorization="Bearer canarytoken.canary.token"))

        async def look() -> dict[str, Any]:
            return dict((await client.call("GET", f"/api/v1/jobs/{begun['job_id']}"))["job"])

        job = await until(look, lambda found: found["state"] in {"completed", "failed"})
        assert job["state"] == "completed", job
        await client.call("POST", f"/api/v1/tracks/{begun['track_id']}/share", {})
        entries = (await client.call("GET", "/api/v1/wallet/entries"))["entries"]
        seen.entries = list(entries)
    return seen


async def _log_in_by_code(mesh: RunningMesh, client: Client, seen: Seen, channel: str, target: str) -> None:
    """Be let in with a code."""
    code = await _code(mesh, client, seen, channel, target, purpose="login")
    login = await client.call("POST", "/api/v1/auth/login", {"account": target, "code": code})
    seen.secrets += [login["access_token"], login["refresh_token"]]


async def _code(mesh: RunningMesh, client: Client, seen: Seen, channel: str, target: str, *, purpose: str) -> str:
    """Return the code that was asked for, read where the sandbox shows it."""
    vendor, kind = ("aliyun_sms", "sms") if channel == "sms" else ("smtp", "mail")
    await client.call("POST", "/api/v1/verification/send", {"target": target, "purpose": purpose, "channel": channel})

    async def letters() -> list[str]:
        async with client.session.get(f"{mesh.sandbox_url}/_sandbox/{vendor}/log") as answer:
            found = (await answer.json())["letters"]
        return [each["text"] for each in found if each["kind"] == kind and each["to"] in target]

    (said,) = await until(letters, bool, patience_s=20)
    code = re.search(r"(?<!\d)\d{6}(?!\d)", said)
    assert code is not None, said
    seen.codes.append(code[0])
    return code[0]


async def _session_key(mesh: RunningMesh, client: Client, seen: Seen) -> None:
    """Keep among the secrets what WeChat gave for the person, opened where it is kept."""
    (way,) = (await client.call("GET", "/api/v1/users/me"))["user"]["identities"]
    place = f"wx:session_key:{way['identity_id']}"
    async with Redis.from_url(mesh.environment["REDIS_URL"], decode_responses=True) as redis:
        sealed = str(await redis.get(place))
    key = Sealer.from_hex(mesh.environment["ENCRYPTION_KEY"]).open(sealed, place).decode()
    assert key
    assert key not in sealed
    seen.secrets.append(key)


async def _with_a_password(mesh: RunningMesh, client: Client, seen: Seen) -> None:
    """Go through the doors that are left: make an account, come in by password, renew, bind, change, be refused."""
    number, token = PLATFORMS.index(seen.platform), client.token
    mailbox, phone = MAIL.format(f"p{number}"), PHONE.format(number + 2)
    old, new, key = (f"canary {word} phrase {number}" for word in ("first", "second", "retry"))
    key = hashlib.sha256(key.encode()).hexdigest()
    code = await _code(mesh, client, seen, "email", mailbox, purpose="register")
    account = {"email": mailbox, "password": old}
    opened = [await client.call("POST", "/api/v1/auth/register", {**account, "code": code})]
    opened.append(await client.call("POST", "/api/v1/auth/login", account))
    renew = {"refresh_token": opened[-1]["refresh_token"], "retry_key": key}
    opened.append(await client.call("POST", "/api/v1/auth/refresh", renew))
    client.token = opened[-1]["access_token"]
    code = await _code(mesh, client, seen, "sms", phone, purpose="bind")
    way = {"provider": "phone", "provider_id": phone, "verification_code": code}
    await client.call("POST", "/api/v1/auth/bindIdentity", way)
    change = {"old_password": old, "new_password": new}
    await _refused(seen, client.call("POST", "/api/v1/auth/password/change", {**change, "old_password": new}))
    await client.call("POST", "/api/v1/auth/password/change", change)
    await _refused(seen, client.call("POST", "/api/v1/auth/login", account))
    await _refused(seen, client.call("POST", "/api/v1/auth/bindIdentity", way))
    await _refused(seen, client.call("POST", "/api/v1/auth/refresh", {**renew, "retry_key": "0" * 64}))
    nonce = f"canary-nonce-{number}"
    async with client.session.post(
        f"{mesh.sandbox_url}/apple/_sandbox/tokens", json={"sub": f"canary-apple-{number}", "nonce": nonce}
    ) as made:
        apple = {"identity_token": (await made.json())["identity_token"], "nonce": nonce}
    opened.append(await client.call("POST", "/api/v1/auth/apple", apple))
    await _refused(seen, client.call("POST", "/api/v1/auth/apple", {**apple, "nonce": "another nonce"}))
    seen.secrets += [*apple.values(), f"canary-apple-{number}"]
    await client.call("GET", "/api/v1/notifications")
    seen.secrets += [old, new, key, *(each[name] for each in opened for name in ("access_token", "refresh_token"))]
    client.token = token


async def _rows(mesh: RunningMesh) -> str:
    """Return every row of every table of Auth as text."""
    db, found = Database(mesh.environment["DATABASE_URL"]), []
    async with db.transaction() as tx:
        tables = await tx.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'auth'"))
        for table in tables.scalars().all():
            rows = await tx.execute(text(f"SELECT string_agg(row_to_json(t)::text, '') FROM auth.{table} t"))
            found.append(f"{table} {rows.scalar()}")
    await db.close()
    return "\n".join(found)


async def _among_parrots(mesh: RunningMesh, seen: Seen) -> None:
    """Ask for things whose vendors answer with errors that hold all that they were asked, keys and prompts included."""
    async with Client(mesh.base_url) as client:
        await client.login()
        seen.secrets.append(client.token)
        for vendor in PARROTS:
            faults = f"{mesh.sandbox_url}/_sandbox/{vendor}/faults"
            async with client.session.post(faults, json={"fault": "parrot", "times": 100}) as set_:
                assert set_.status == 200
        words = await client.call("POST", "/api/v1/ai/lyrics", {"theme": THEME})
        assert {each["provider"] for each in words["versions"]} == {"offline"}
        wish = {"target": PHONE.format(7), "purpose": "login", "channel": "sms"}
        await client.call("POST", "/api/v1/verification/send", wish)
        await _refused(seen, client.call("POST", "/api/v1/auth/wechat", {"code": "0canarycode0canarycode"}))
        made = await client.call("POST", "/api/v1/tracks", {"lyrics": WORDS, "title": TITLE, "duration_s": 30})

        async def look() -> dict[str, Any]:
            return dict((await client.call("GET", f"/api/v1/jobs/{made['job_id']}"))["job"])

        job = await until(look, lambda found: found["state"] in {"completed", "failed"})
        seen.refusals.append(json.dumps(job))
        for vendor in PARROTS:
            async with client.session.get(f"{mesh.sandbox_url}/_sandbox/{vendor}/log") as answer:
                assert any(each["status"] == 400 for each in (await answer.json())["seen"]), vendor
            await client.session.delete(f"{mesh.sandbox_url}/_sandbox/{vendor}/faults")


async def _spans(mesh: RunningMesh, enough: Callable[[list[ReceivedSpan]], bool]) -> list[ReceivedSpan]:
    """Return what the receiver has got, once it is enough."""
    async with aiohttp.ClientSession() as http:

        async def look() -> list[ReceivedSpan]:
            async with http.get(f"{mesh.sandbox_url}/otlp/_sandbox/spans") as answer:
                return [ReceivedSpan(**each) for each in await answer.json()]

        return await until(look, enough, patience_s=60)


@pytest.fixture(scope="module")
async def run(homes: Callable[[str], Path]) -> Run:
    """A mesh that has served a person on each platform, and was stopped in order."""
    home = home_at(homes("traced"), **ENVIRONMENT)
    async with running_mesh(home) as mesh:
        assert mesh.environment["OTEL_EXPORTER_OTLP_ENDPOINT"].startswith(mesh.sandbox_url)
        seen = {each.platform: each for each in await asyncio.gather(*(_person(mesh, name) for name in PLATFORMS))}

        seen["parrots"] = Seen("web")
        await _among_parrots(mesh, seen["parrots"])

        def settled(spans: list[ReceivedSpan]) -> bool:
            # What is sent last by each process that has a part in it.
            ends = {(each.trace_id, each.name) for each in spans}
            works = [(trace, kind) for each in seen.values() for kind, trace in each.traces.items()]
            verdicts = [each for each in spans if each.name == VERDICT]
            done = len(verdicts) >= len(PLATFORMS)
            return (
                done and {(trace, name) for trace, kind in works for name in (f"job {kind}", "ledger settle")} <= ends
            )

        spans = await _spans(mesh, settled)
        pages = {}
        async with aiohttp.ClientSession() as http:
            for path in ("/", "/api/docs", "/api/docs/openapi.json", "/health", "/songs"):
                async with http.get(mesh.base_url + path) as answer:
                    pages[path] = await answer.text()
            async with http.get(f"{mesh.sandbox_url}/") as answer:
                pages["sandbox"] = await answer.text()
        rows = await _rows(mesh)
    return Run(seen, spans, pages, home.logs, rows)


def _joined(spans: list[ReceivedSpan]) -> None:
    """Check that the spans are one tree: one root, and every other one's parent among them."""
    ids = {each.span_id for each in spans}
    roots = [each.name for each in spans if each.parent_id not in ids]
    assert len(ids) == len(spans)
    assert roots == [next(each.name for each in spans if each.name.startswith("POST /api"))], roots


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("kind", ["lyrics", "music"])
def test_a_work_is_one_trace(run: Run, kind: str, platform: str) -> None:
    """Request, RPC, making of the job, attempt, steps, model call and ledger entries are one tree in one trace."""
    seen = run.seen[platform]
    spans = run.trace(seen.traces[kind])
    _joined(spans)
    names = {each.name for each in spans}
    steps = {"lyrics": {"step lyrics_write"}, "music": {"step audio_check", "step music_generate", "step ab_eval"}}
    calls = {"lyrics": {"POST gemini"}, "music": {"POST suno", "GET suno"}}
    assert {"ledger hold", "ledger settle", f"create job {kind}", f"job {kind}", *steps[kind], *calls[kind]} <= names
    assert any(name.startswith("cadenza.composer.v1.") for name in names)
    assert any(name.startswith("cadenza.wallet.v1.CreditService/Settle") for name in names)
    assert {each.attributes.get("cadenza.platform") for each in spans} == {platform}
    made = next(each for each in spans if each.name == f"create job {kind}")
    assert made.span_id == tracing.span_of_job(seen.jobs[kind])
    settled = next(each for each in spans if each.name == "ledger settle")
    references = {each["reference_id"] for each in seen.entries}
    assert settled.attributes["cadenza.ledger.hold_id"] in references


@pytest.mark.parametrize("platform", PLATFORMS)
def test_langfuse_is_told_platform_model_cost_and_latency(run: Run, platform: str) -> None:
    """Each model call is a generation with model, cost and its time, under the platform; two traces a platform."""
    traces = run.seen[platform].traces
    for kind, operation, calls in (("lyrics", "generate_content", 1), ("music", "generate_music", 1)):
        found = [each for each in run.trace(traces[kind]) if "gen_ai.operation.name" in each.attributes]
        assert [each.attributes["gen_ai.operation.name"] for each in found] == [operation] * calls
        for each in found:
            assert each.attributes["langfuse.observation.type"] == "generation"
            assert each.attributes["langfuse.trace.metadata.platform"] == platform
            assert each.attributes["gen_ai.request.model"]
            assert each.attributes["gen_ai.usage.cost"] > 0
            assert each.end_ns > each.start_ns
    told = {each.trace_id for each in run.spans if each.attributes.get("langfuse.trace.metadata.platform") == platform}
    assert set(traces.values()) <= told


def test_a_call_of_a_vendor_is_in_the_trace_of_its_request(run: Run) -> None:
    """The login's call of WeChat is a span with method, host and status behind the login's RPC, and says no more."""
    calls = [each for each in run.spans if each.name == "GET wechat" and "error.type" not in each.attributes]
    assert len(calls) == 2 * len(PLATFORMS)
    for call in calls:
        parent = next(each for each in run.spans if each.span_id == call.parent_id)
        assert parent.name == "cadenza.auth.v1.SessionService/WechatLogin"
        assert call.kind == "client"
        assert set(call.attributes) <= {
            "http.request.method", "http.response.status_code", "server.address", "server.port", "cadenza.platform",
            "user.id", "langfuse.trace.metadata.platform",
        }  # fmt: skip


def test_what_a_vendor_pushes_is_taken(run: Run) -> None:
    """WeChat's verdict on each sound that was shared comes back to the mesh, sealed, and is accepted."""
    pushed = [each for each in run.spans if each.name == VERDICT]
    assert len(pushed) == len(PLATFORMS)
    assert not any(each.failed or "error.type" in each.attributes for each in pushed)


def test_the_log_bears_the_trace_in_the_worker_too(run: Run) -> None:
    """Lines of the worker and of the mesh about one song have its trace id in common."""
    for platform in PLATFORMS:
        trace_id = run.seen[platform].traces["music"]
        files = {path.name for path in run.logs.glob("*.log") if trace_id in path.read_text(encoding="utf-8")}
        assert {"mesh.log", "worker-1.log"} <= files


def test_a_copy_of_the_database_opens_no_door(run: Run) -> None:
    """No token, code, password, session key, openid, phone or mailbox is in a row of Auth as it was shown."""
    secrets = ["canary.person", "1380013800", "canary first", "canary second"]
    secrets += [secret for seen in run.seen.values() for secret in seen.secrets]
    assert "identities {" in run.rows
    assert "passwords {" in run.rows
    assert [secret for secret in secrets if secret in run.rows] == []
    codes = "|".join(code for seen in run.seen.values() for code in seen.codes)
    assert re.findall(rf"(?<![\w.])(?:{codes})(?!\w)", run.rows) == []


def test_no_canary_is_anywhere(run: Run) -> None:
    """Tokens, keys, codes, prompts, words, mail and phone are in no log, no span, no refusal and no page."""
    canaries = [THEME, "canarytheme", "canarylyric", TITLE, "canarynick", "canarytoken", "canarycode"]
    canaries += ["canary.person", "example.org", "1380013800", APP_SECRET, SECRET_KEY, authorization()]
    canaries += [SMS_SECRET, SMTP_PASSWORD, GEMINI_KEY, PUSH_TOKEN, PUSH_AES_KEY]
    canaries += [secret for seen in run.seen.values() for secret in seen.secrets]
    assert all(canaries)
    places = {f"log {path.name}": path.read_text(encoding="utf-8") for path in run.logs.glob("*.log")}
    places["spans"] = json.dumps([each.__dict__ for each in run.spans], ensure_ascii=False)
    places |= {f"refusals {name}": "\n".join(seen.refusals) for name, seen in run.seen.items()}
    places |= {f"page {path}": text for path, text in run.pages.items() if path != "sandbox"}
    # Its page tells its own keys, and what a person would have got, on purpose; but not what was asked with them.
    letters = re.compile(r"<code>\w+=[^<]*</code>|<h2>Mails and messages</h2>.*?</table>", re.DOTALL)
    places["page sandbox"] = letters.sub("", run.pages["sandbox"])
    assert {"log mesh.log", "log worker-1.log", "log sandbox.log"} <= set(places)
    assert len(run.spans) > 50
    found = [(place, canary) for place, text in places.items() for canary in canaries if canary in text]
    assert found == []
    codes = re.compile(
        r"(?<![\w.])(?:" + "|".join(code for seen in run.seen.values() for code in seen.codes) + r")(?!\w)"
    )
    assert [place for place, text in places.items() if codes.search(text)] == []
