"""WeChat's stand-in against published values and the rules that the contract page names."""

import base64
import io
import json
import struct
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from PIL import Image

from tests.conftest import SettableClock
from tests.fakes import wechat_push as push
from tests.fakes.stand_in import Ask, Reply, served
from tests.fakes.wechat import Wechat

AES_KEY = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
SESSION_KEY = "AAECAwQFBgcICQoLDA0ODw=="
PUSHED = '{"ToUserName":"gh_test","MsgType":"event","Event":"wxa_media_check","trace_id":"t1"}'
ENCRYPT = (
    "Q3stYC6hdFzMh9T8HCvyDGZbk7pyJP36JPrZ8AOQdSqYtG8XembPHTZA7WhZpbXYhd7g2kOrn8I4ehYdeULmLebJHKlwEKPqXpti0xf5469kFg6x"
    "iCAUAhgi5xkUd259+cq04XILCXBelZrmBxUAMkDmK6Lnio45Xk8q5Du6/UE="
)
PHONE = (
    '{"phoneNumber":"13800000000","purePhoneNumber":"13800000000","countryCode":"86","watermark":'
    '{"timestamp":1700000000,"appid":"wxtest0000000001"}}'
)
PHONE_SEALED = (
    "aLhedzo+Z6es5zW+YHo9snYC0yqzXTKggXNMQvhcyudkik75xObeE7YxlOkqVmhFK8f+LxhMgOYi9sTvM5HwmI782mFnqn3zZPlUfzWBBP/6qAGb"
    "f5iVZm6scZDBeHhAYxqAfDna3wjWIIw4JekkOtLZW3FgTypeQDomR0BXEgfNd1h9rAJBX4UEtjBIV96MG/qeRprCprRu4jwvrgBjVg=="
)


def test_published_signatures() -> None:
    """The documentation's own samples of a push's signature come out, and the computed vectors of this contract."""
    assert push.signed("AAAAA", "1714036504", "1514711492").startswith("f464b24f")
    assert push.signed("AAAAA", "1714036504", "1514711492").endswith("1696")
    assert push.signed("AAAAA", "1714037059", "486452656").startswith("899cf89e")
    assert push.signed("AAAAA", "1714037059", "486452656").endswith("aa78")
    assert push.signed("tok", "1700000000", "n1") == "8633893fb43e07cf18bde4ef3cc3af60cad003d3"
    assert push.signed("tok", "1700000000", "n1", ENCRYPT) == "d9043bd9edf58c1447d5265b6b772f6504c509ae"
    assert push.session_signature(SESSION_KEY) == "75c022993d64e3ac224c1c9d6f2b4c6eb53f22f6c7aa6be94428577d11d12fd5"
    assert push.raw_signature('{"nickName":"t"}', SESSION_KEY) == "7b5a51b239e56dbb121b8f3a94e4d535ee4546f9"


def test_computed_ciphers() -> None:
    """Key, push and a phone's encrypted data equal the vectors, stray bits and the padding to 32 included."""
    assert push.push_key(AES_KEY).hex() == "69b71d79f8218a39259a7a29aabb2dbafc31cb3d35db7e39ebbf3d0010831051"
    sealed = push.sealed(PUSHED, app_id="wxtest0000000001", aes_key=AES_KEY, start=b"0123456789abcdef")
    assert sealed == ENCRYPT
    data = push.session_sealed(PHONE, session_key=SESSION_KEY, iv="EBESExQVFhcYGRobHB0eHw==")
    assert data == PHONE_SEALED


@pytest.fixture
async def wechat(clock: SettableClock) -> AsyncIterator[Wechat]:
    """Yield a WeChat whose clock the test sets, with verdicts and their repeats at once."""
    async with served(Wechat(clock=clock, verdict_after_s=0.0, push_pause_s=0.0)) as vendor:
        yield vendor


@pytest.fixture
async def ask(wechat: Wechat) -> AsyncIterator[Ask]:
    """Yield a client of it."""
    async with aiohttp.ClientSession() as http:
        yield Ask(http, wechat.url)


async def _stable(ask: Ask, wechat: Wechat, *, force: bool = False) -> Reply:
    wish = {"grant_type": "client_credential", "appid": wechat.app_id, "secret": wechat.app_secret}
    return await ask("POST", "/cgi-bin/stable_token", json={**wish, "force_refresh": force})


async def _token(ask: Ask, wechat: Wechat) -> str:
    return str((await _stable(ask, wechat)).json()["access_token"])


async def _login(ask: Ask, wechat: Wechat, open_id: str = "o-1") -> Reply:
    query = {"appid": wechat.app_id, "secret": wechat.app_secret, "js_code": wechat.new_code(open_id)}
    return await ask("GET", "/sns/jscode2session", params={**query, "grant_type": "authorization_code"})


async def _code(reply: Reply) -> int:
    assert reply.status == 200
    return int(reply.json().get("errcode", 0))


async def _call(ask: Ask, wechat: Wechat, path: str, **wish: object) -> Reply:
    return await ask("POST", path, params={"access_token": await _token(ask, wechat)}, json=wish)


async def test_a_stable_token_stays_until_near_its_end(ask: Ask, wechat: Wechat, clock: SettableClock) -> None:
    """The same token comes back with less time left; within its last 300 s a new one comes and both are good."""
    first = (await _stable(ask, wechat)).json()
    clock.advance(6000)
    second = (await _stable(ask, wechat)).json()
    assert (second["access_token"], second["expires_in"]) == (first["access_token"], 1200)
    assert len(first["access_token"]) > 400
    clock.advance(950)
    third = (await _stable(ask, wechat)).json()
    assert third["access_token"] != first["access_token"]
    assert wechat.tokens.refusal(first["access_token"]) is None
    clock.advance(260)
    assert wechat.tokens.refusal(first["access_token"]) == (42001, "access_token expired")


async def test_forcing_kills_the_old_token_and_is_limited(ask: Ask, wechat: Wechat, clock: SettableClock) -> None:
    """A forced token kills the one before at once; within 30 s, or the 21st time a day, it is 45011."""
    before = await _token(ask, wechat)
    after = (await _stable(ask, wechat, force=True)).json()["access_token"]
    assert wechat.tokens.refusal(before) is not None
    assert wechat.tokens.refusal(before)[0] == 40001  # type: ignore[index]
    assert wechat.tokens.refusal(after) is None
    assert await _code(await _stable(ask, wechat, force=True)) == 45011
    for _ in range(19):
        clock.advance(31)
        assert await _code(await _stable(ask, wechat, force=True)) == 0
    clock.advance(31)
    assert await _code(await _stable(ask, wechat, force=True)) == 45011


async def test_plain_tokens_knock_each_other_out(ask: Ask, wechat: Wechat, clock: SettableClock) -> None:
    """A second plain token leaves the first one five minutes, and no stable token is touched by either."""
    stable = await _token(ask, wechat)
    query = {"grant_type": "client_credential", "appid": wechat.app_id, "secret": wechat.app_secret}
    one, two = [(await ask("GET", "/cgi-bin/token", params=query)).json()["access_token"] for _ in range(2)]
    assert wechat.tokens.refusal(one) is None
    clock.advance(301)
    assert wechat.tokens.refusal(one) is not None
    assert wechat.tokens.refusal(two) is None
    assert wechat.tokens.refusal(stable) is None


async def test_where_a_token_must_stand(ask: Ask, wechat: Wechat) -> None:
    """No token, a malformed and an unknown one, one in the body, a form, a GET: each has its number."""
    token = await _token(ask, wechat)
    path, wish = "/wxa/getwxacodeunlimit", {"scene": "a=1"}
    assert await _code(await ask("POST", path, json=wish)) == 41001
    assert await _code(await ask("POST", path, params={"access_token": "x"}, json=wish)) == 40014
    assert await _code(await ask("POST", path, params={"access_token": "sandbox_x"}, json=wish)) == 40001
    known = {"access_token": token}
    assert await _code(await ask("POST", path, params=known, json={**wish, "access_token": token})) == 47001
    assert await _code(await ask("POST", path, params=known, data=wish)) == 47001
    assert await _code(await ask("GET", "/cgi-bin/stable_token")) == 43002


@pytest.mark.parametrize(
    ("wish", "errcode"),
    [
        ({"scene": "s" * 33}, 40169),
        ({"scene": ""}, 40169),
        ({}, 40169),
        ({"scene": "歌"}, 40129),
        ({"scene": "a%20"}, 40129),
        ({"scene": "a", "page": "/pages/index/index"}, 41030),
        ({"scene": "a", "page": "pages/index/index?x=1"}, 41030),
        ({"scene": "a", "page": "pages/not/there"}, 41030),
        ({"scene": "a", "page": "pages/not/there", "check_path": False}, 0),
        ({"scene": "s" * 32, "page": "pages/index/index"}, 0),
        ({"scene": "!#$&'()*+,/:;=?@-._~"}, 0),
    ],
)
async def test_scenes_and_pages(ask: Ask, wechat: Wechat, wish: dict[str, object], errcode: int) -> None:
    """A scene has 1 to 32 of the allowed characters and a page is one of the released version, or it is JSON in 200."""
    reply = await _call(ask, wechat, "/wxa/getwxacodeunlimit", **wish)
    assert reply.status == 200
    if errcode:
        assert reply.json()["errcode"] == errcode
        assert reply.headers["Content-Type"] == "application/json; encoding=utf-8"
    else:
        assert reply.headers["Content-Type"] == "image/jpeg"
        assert Image.open(io.BytesIO(reply.body)).size == (430, 430)


async def test_a_clear_code_is_a_png(ask: Ask, wechat: Wechat) -> None:
    """With `is_hyaline` the picture is a PNG with transparency, in the width that was asked."""
    reply = await _call(ask, wechat, "/wxa/getwxacodeunlimit", scene="a", is_hyaline=True, width=300)
    picture = Image.open(io.BytesIO(reply.body))
    assert (reply.headers["Content-Type"], picture.size, picture.mode) == ("image/png", (300, 300), "LA")


@pytest.mark.parametrize(
    ("wish", "errcode"),
    [
        ({"jump_wxa": {"path": "pages/share/index", "query": "c=1"}, "expire_type": 1, "expire_interval": 30}, 0),
        ({"jump_wxa": {"path": "/pages/not/there"}, "expire_type": 1, "expire_interval": 1}, 40165),
        ({"jump_wxa": {"path": "", "query": "q" * 1025}, "expire_type": 1, "expire_interval": 1}, 40212),
        ({"jump_wxa": {}, "expire_type": 1, "expire_interval": 31}, 85401),
        ({"jump_wxa": {}, "expire_type": 0, "expire_time": 1}, 85401),
        ({"jump_wxa": {}}, 85401),
    ],
)
async def test_links_end_within_thirty_days(ask: Ask, wechat: Wechat, wish: dict[str, object], errcode: int) -> None:
    """A link names a page that is there, a query of 1,024 characters at most, and an end within 30 days."""
    reply = await _call(ask, wechat, "/wxa/generatescheme", **wish)
    assert await _code(reply) == errcode
    assert str(reply.json().get("openlink", "")).startswith("weixin://dl/business/?t=") is (errcode == 0)


async def test_a_day_has_its_quota(ask: Ask, wechat: Wechat, clock: SettableClock) -> None:
    """The call beyond the day's number is 45009 until the day has passed; beyond a minute's it is 45011."""
    async with served(Wechat(clock=clock, limits={"generatescheme": ((2, 86_400, 45009),)})) as small:
        asking = Ask(ask._http, small.url)
        wish = {"jump_wxa": {}, "expire_type": 1, "expire_interval": 1}
        assert [await _code(await _call(asking, small, "/wxa/generatescheme", **wish)) for _ in range(3)] == [
            0,
            0,
            45009,
        ]
        clock.advance(86_401)
        assert await _code(await _call(asking, small, "/wxa/generatescheme", **wish)) == 0


async def test_a_phone_number_is_told_once(ask: Ask, wechat: Wechat, clock: SettableClock) -> None:
    """The code of the button gives the number once and for five minutes; a login code never does."""
    code = wechat.new_code("o-1", phone="13800000000")
    reply = await _call(ask, wechat, "/wxa/business/getuserphonenumber", code=code)
    info = reply.json()["phone_info"]
    assert (info["purePhoneNumber"], info["watermark"]["appid"]) == ("13800000000", wechat.app_id)
    late, login = wechat.new_code("o-1", phone="13800000000"), wechat.new_code("o-1")
    clock.advance(301)
    for bad in (code, late, login, "made-up"):
        assert await _code(await _call(ask, wechat, "/wxa/business/getuserphonenumber", code=bad)) == 40029


async def test_a_session_proves_itself(ask: Ask, wechat: Wechat) -> None:
    """The check of a session takes the HMAC under the newest session key and nothing else."""
    key = (await _login(ask, wechat)).json()["session_key"]
    query = {"access_token": await _token(ask, wechat), "openid": "o-1", "sig_method": "hmac_sha256"}
    good = {**query, "signature": push.session_signature(key)}
    assert await _code(await ask("GET", "/wxa/checksession", params=good)) == 0
    await _login(ask, wechat)
    assert await _code(await ask("GET", "/wxa/checksession", params=good)) == 87009


async def test_words_are_judged_of_people_who_are_here(ask: Ask, wechat: Wechat, clock: SettableClock) -> None:
    """Known words are found; a stranger's are 40003, those of somebody who left two hours ago 61010."""
    await _login(ask, wechat)

    async def check(content: str, open_id: str = "o-1", **more: object) -> Reply:
        wish = {"content": content, "version": 2, "scene": 2, "openid": open_id, **more}
        return await _call(ask, wechat, "/wxa/msg_sec_check", **wish)

    answers = [(await check(text)).json()["result"]["suggest"] for text in ("海", "sandbox-review", "赌场开户 海")]
    assert answers == ["pass", "review", "risky"]
    detail = (await check("海")).json()["detail"]
    assert any(each["errcode"] != 0 and each["suggest"] == "risky" for each in detail)
    assert await _code(await check("海", "o-2")) == 40003
    assert await _code(await check("")) == 44002
    assert await _code(await check("海" * 2501)) == 45002
    assert await _code(await check("海", scene=9)) == 40129
    clock.advance(7201)
    assert await _code(await check("海")) == 61010


class _Receiver:
    """Our side of a push: opens what comes, and answers as a test wants."""

    def __init__(self) -> None:
        self.callback = push.Callback("", "tok", AES_KEY)
        self.events: list[dict[str, object]] = []
        self.answers = ["success"]

    async def hear(self, request: web.Request) -> web.Response:
        query = request.query
        assert query["signature"] == push.signed("tok", query["timestamp"], query["nonce"])
        if request.method == "GET":
            return web.Response(text=query["echostr"])
        encrypted = (await request.json())["Encrypt"]
        assert query["msg_signature"] == push.signed("tok", query["timestamp"], query["nonce"], encrypted)
        key = push.push_key(AES_KEY)
        opener = Cipher(algorithms.AES(key), modes.CBC(key[:16])).decryptor()
        plain = opener.update(base64.b64decode(encrypted)) + opener.finalize()
        (length,) = struct.unpack(">I", plain[16:20])
        assert plain[20 + length : -plain[-1]] == b"wxsandbox00000001"
        self.events.append(json.loads(plain[20 : 20 + length]))
        return web.Response(text=self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])


@pytest.fixture
async def receiver(wechat: Wechat, ask: Ask) -> AsyncIterator[_Receiver]:
    """Yield a receiver that the console has accepted, beside which a picture lies."""
    found = _Receiver()
    app = web.Application()
    app.router.add_route("*", "/push", found.hear)
    app.router.add_get("/p.jpg", _picture)
    app.router.add_get("/big.mp3", _too_large)
    async with TestServer(app, host="127.0.0.1") as server:
        base = str(server.make_url("")).rstrip("/")
        wish = {"url": f"{base}/push", "token": "tok", "aes_key": AES_KEY}
        assert (await ask("POST", "/_sandbox/callback", json=wish)).status == 200
        found.callback = push.Callback(base, "tok", AES_KEY)
        yield found


async def _picture(_: web.Request) -> web.Response:
    return web.Response(body=b"x", content_type="image/jpeg")


async def _too_large(_: web.Request) -> web.Response:
    return web.Response(body=b"x" * (10 * 1024 * 1024 + 1), content_type="audio/mpeg")


async def _check_file(ask: Ask, wechat: Wechat, url: str, kind: int) -> str:
    await _login(ask, wechat)
    wish = {"media_url": url, "media_type": kind, "version": 2, "scene": 2, "openid": "o-1"}
    reply = await _call(ask, wechat, "/wxa/media_check_async", **wish)
    await wechat.pusher.settled()
    return str(reply.json()["trace_id"])


async def test_a_verdict_is_pushed_signed_and_sealed(ask: Ask, wechat: Wechat, receiver: _Receiver) -> None:
    """What a test says of an address is pushed under the trace id of the check; a picture sent as sound passes."""
    wechat.judge("p.jpg", "risky", 20002)
    trace = await _check_file(ask, wechat, f"{receiver.callback.url}/p.jpg", 2)
    await _check_file(ask, wechat, f"{receiver.callback.url}/p.jpg", 1)
    first, second = receiver.events
    assert (first["trace_id"], first["result"]) == (trace, {"suggest": "risky", "label": 20002})
    assert second["result"] == {"suggest": "pass", "label": 100}
    assert first["Event"] == "wxa_media_check"


async def test_a_file_that_cannot_be_fetched_or_is_too_large_has_no_verdict(
    ask: Ask, wechat: Wechat, receiver: _Receiver
) -> None:
    """A missing file and one of more than 10 MB end with an errcode in the event."""
    for name, kind in (("gone.jpg", 2), ("big.mp3", 1)):
        await _check_file(ask, wechat, f"{receiver.callback.url}/{name}", kind)
    assert [each["errcode"] for each in receiver.events] == [-1008, -1008]


async def test_a_push_comes_three_times_at_most(ask: Ask, wechat: Wechat, receiver: _Receiver) -> None:
    """Until somebody says success it is repeated, and after the third time it is not."""
    receiver.answers = ["no", "success"]
    await _check_file(ask, wechat, f"{receiver.callback.url}/p.jpg", 2)
    assert len(receiver.events) == 2
    receiver.answers = ["no"]
    await _check_file(ask, wechat, f"{receiver.callback.url}/p.jpg", 2)
    assert len(receiver.events) == 2 + 3


async def test_verdicts_get_lost_and_come_twice(ask: Ask, wechat: Wechat, receiver: _Receiver) -> None:
    """With their faults a verdict never comes, and another one comes again after it was taken."""
    wechat.fail("lost_verdict")
    await _check_file(ask, wechat, f"{receiver.callback.url}/p.jpg", 2)
    assert receiver.events == []
    wechat.fail("verdict_twice")
    await _check_file(ask, wechat, f"{receiver.callback.url}/p.jpg", 2)
    assert len(receiver.events) == 2


async def test_a_verdict_may_come_before_the_answer_that_names_it(
    ask: Ask, wechat: Wechat, receiver: _Receiver
) -> None:
    """With its fault the event is pushed first, under the trace id that the answer tells afterwards."""
    wechat.fail("verdict_early")
    await _login(ask, wechat)
    wish = {"media_url": f"{receiver.callback.url}/p.jpg", "media_type": 2, "version": 2, "scene": 2, "openid": "o-1"}
    reply = await _call(ask, wechat, "/wxa/media_check_async", **wish)
    assert [each["trace_id"] for each in receiver.events] == [reply.json()["trace_id"]]


async def test_a_superseded_token_is_told_once(ask: Ask, wechat: Wechat) -> None:
    """With the fault the token at hand is 40001, and a newly fetched one is good: somebody else had asked for one."""
    token = await _token(ask, wechat)
    wechat.fail("superseded")
    wish = {"scene": "a"}
    reply = await ask("POST", "/wxa/getwxacodeunlimit", params={"access_token": token}, json=wish)
    assert reply.json()["errcode"] == 40001
    assert (await _call(ask, wechat, "/wxa/getwxacodeunlimit", **wish)).headers["Content-Type"] == "image/jpeg"


async def test_one_person_logs_in_a_hundred_times_a_minute(ask: Ask, wechat: Wechat, clock: SettableClock) -> None:
    """The 101st login of one account within a minute is 45011, another account's is not."""
    assert [await _code(await _login(ask, wechat)) for _ in range(101)] == [0] * 100 + [45011]
    assert await _code(await _login(ask, wechat, "o-2")) == 0
