"""What every vendor's adapter promises, tried with each of them against the stand-in of its vendor."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from services.composer.domain.vendor import Remedy
from services.composer.providers import DirectVendor, TaskVendor, VendorRefused, VendorSong
from services.composer.providers.appraisal import appraise, promised_bytes
from services.composer.providers.minimax import CODES as MINIMAX_CODES
from services.composer.providers.sound import ffmpeg_program
from services.composer.providers.suno import TABLES
from services.composer.providers.vendor_http import VendorHttp
from services.kit.address import AddressRefused
from services.kit.errors import BodyTooLarge, Expired, Unavailable
from tests.composer.vendors import KEY, NAMES, ORDER, WORDS, adapter, booth
from tests.fakes.minimax import ERRORS as MINIMAX_ERRORS
from tests.fakes.song import song_mp3
from tests.fakes.stand_in import Fault
from tests.fakes.suno import NUMBERS
from tests.media.recordings import sound

every_vendor = pytest.mark.parametrize("name", NAMES)


@every_vendor
async def test_a_song_comes_whole(name: str) -> None:
    """An order gives as many songs as the vendor says, each can be fetched, decodes, and lasts as long as promised."""
    async with booth(name) as it:
        songs = await it.songs()
        assert len(songs) == it.vendor.capability.songs
        for song in songs:
            measured = appraise(await it.vendor.fetch(song), ffmpeg=ffmpeg_program(""))
            assert not measured["fault"]
            assert measured["loudness_lufs"] > -40
            assert abs(measured["duration_ms"] / 1000 - (song.duration_s or 1.0)) < 0.2
        assert it.stand.paid == int(it.vendor.capability.paid)


def test_half_a_file_says_so_itself() -> None:
    """A file whose first frame promises more than there is is cut, also when nobody says how long it was to be."""
    whole = song_mp3(3, 8.0)
    assert len(whole) * 0.9 < promised_bytes(whole) <= len(whole)
    assert appraise(whole, ffmpeg=ffmpeg_program(""))["fault"] == ""
    assert appraise(whole[: len(whole) // 2], ffmpeg=ffmpeg_program(""))["fault"] == "cut"
    assert appraise(b"<html>not found</html>", ffmpeg=ffmpeg_program(""))["fault"] == "unreadable"
    tagged = b"ID3\x04\x00\x00\x00\x00\x01\x00" + bytes(128) + whole[whole.index(b"\xff") :]
    assert promised_bytes(tagged) > 0
    assert promised_bytes(b"ID3") == promised_bytes(b"") == promised_bytes(b"\xff\xfb" + bytes(100)) == 0


@every_vendor
async def test_a_song_without_words(name: str) -> None:
    """Whoever wants no words gets an instrumental, and the vendor is told so."""
    async with booth(name) as it:
        assert await it.songs(replace(ORDER, lyrics="", voice=""))
        sent = it.stand.seen[0].body
        assert WORDS.splitlines()[1] not in sent
        assert '"instrumental":true' in sent or '"is_instrumental":true' in sent or "[inst]" in sent


@every_vendor
async def test_the_longest_words_pass(name: str) -> None:
    """The longest words that the adapter says it takes are taken by the vendor, whole; titles and styles are cut."""
    async with booth(name) as it:
        words = ("la " * 4000)[: it.vendor.capability.longest_lyrics]
        order = replace(ORDER, lyrics=words, title="题" * 300, style="folk " * 600)
        assert await it.songs(order)
        assert words.strip() in it.stand.seen[0].body


@every_vendor
async def test_nobody_is_there(name: str) -> None:
    """A vendor that cannot be reached has not taken the order, and the next attempt may be luckier."""
    lost = adapter(name, "http://127.0.0.1:9")
    with pytest.raises(VendorRefused) as refused:
        await _order(lost)
    await lost.close()
    assert (refused.value.remedy, refused.value.maybe_taken) == (Remedy.LATER, False)


@every_vendor
@pytest.mark.parametrize("fault", ["http_500", "http_502", "cut"])
async def test_an_order_of_unknown_fate(name: str, fault: str) -> None:
    """A gateway's error or a broken answer leaves open whether a paid order was taken; a free one is asked anew."""
    async with booth(name) as it:
        it.stand.fail(fault)
        with pytest.raises(VendorRefused) as refused:
            await _order(it.vendor)
        assert refused.value.remedy is Remedy.LATER
        paid = it.vendor.capability.paid
        assert refused.value.maybe_taken is (paid or fault == "cut")
        assert it.stand.seen[0].method == "POST"
        assert len(it.stand.seen) == 1


@every_vendor
async def test_a_busy_gateway_has_not_looked(name: str) -> None:
    """503 says that nobody looked at the order, so that another vendor may have it."""
    async with booth(name) as it:
        it.stand.fail("http_503")
        with pytest.raises(VendorRefused) as refused:
            await _order(it.vendor)
        assert (refused.value.code, refused.value.maybe_taken) == ("http_503", False)


@every_vendor
async def test_a_wrong_key_waits_for_an_operator(name: str) -> None:
    """A key that the vendor does not know is nothing that time mends."""
    async with booth(name) as it:
        stranger = adapter(name, it.stand.url, key="another")
        with pytest.raises(VendorRefused) as refused:
            await _order(stranger)
        await stranger.close()
        assert (refused.value.remedy, refused.value.maybe_taken) == (Remedy.OPERATOR, False)


@pytest.mark.parametrize("name", ["suno", "kie", "minimax"])
async def test_sensitive_words_are_the_persons_to_mend(name: str) -> None:
    """Words that the vendor will not sing are refused for good, and nothing was paid."""
    async with booth(name) as it:
        with pytest.raises(VendorRefused) as refused:
            await it.songs(replace(ORDER, lyrics=f"{WORDS} forbiddenword"))
        assert refused.value.remedy is Remedy.USER
        assert it.stand.paid == 0


@every_vendor
async def test_a_link_that_died(name: str) -> None:
    """A link that leads nowhere any more says so, apart from a vendor that cannot be reached."""
    async with booth(name) as it:
        songs = await it.songs()
        it.stand.fail("gone_links")
        with pytest.raises(VendorRefused, match="no song") as gone:
            await it.vendor.fetch(songs[0])
        assert gone.value.code == "gone"
        it.stand.fail("http_502", times=9)
        with pytest.raises(Unavailable):
            await it.vendor.fetch(songs[0])


@every_vendor
async def test_a_link_into_our_own_network(name: str) -> None:
    """A link that leads to another private address than the vendor's own server is never followed."""
    async with booth(name) as it:
        for url in (
            "http://169.254.169.254/latest",
            "http://127.0.0.1:1/x.mp3",
            "http://10.0.0.7/a",
            "file:///etc/passwd",
        ):
            with pytest.raises(AddressRefused):
                await it.vendor.fetch(VendorSong(url=url))


@every_vendor
async def test_more_than_a_song(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file larger than any song is not read to its end."""
    async with booth(name) as it:
        songs = await it.songs()
        module = "services.composer.providers.ace_step" if name == "ace_step" else VendorHttp.__module__
        monkeypatch.setattr(f"{module}.LARGEST_SONG", 1000)
        with pytest.raises(BodyTooLarge):
            await it.vendor.fetch(songs[0])


@every_vendor
async def test_neither_keys_nor_words_are_logged(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No log line and no error holds the key or the person's words, when it goes well and when it does not."""
    caplog.set_level(logging.DEBUG)
    said: list[str] = []
    async with booth(name) as it:
        songs = await it.songs()
        await it.vendor.fetch(songs[0])
        for fault in ("http_500", "cut", "http_503"):
            it.stand.fail(fault)
            with pytest.raises(VendorRefused) as refused:
                await _order(it.vendor)
            said.append(
                f"{refused.value!r} {refused.value.message} {refused.value.metadata} {refused.value.__cause__!r}"
            )
    written = "\n".join([*said, *(f"{record.getMessage()} {record.__dict__}" for record in caplog.records)])
    assert "outbound" in written
    assert KEY not in written
    assert "morning light" not in written


@pytest.mark.parametrize("name", ["suno", "kie"])
async def test_the_numbers_of_a_dialect(name: str) -> None:
    """Out of credits is an operator's, too many calls pass, and each dialect says them by its own numbers."""
    dialect = "kie" if name == "kie" else "sunoapi"
    async with booth(name) as it:
        for word, remedy in (
            ("credits", Remedy.OPERATOR),
            ("often", Remedy.LATER),
            ("maintenance", Remedy.LATER),
            ("server", Remedy.LATER),
        ):
            it.stand.fail(word)
            with pytest.raises(VendorRefused) as refused:
                await _order(it.vendor)
            assert refused.value.code == str(NUMBERS[dialect][word])
            assert (refused.value.remedy, refused.value.maybe_taken) == (remedy, False)
        assert it.stand.paid == 0
    # The same number is money for one and haste for the other.
    assert (TABLES["sunoapi"][429], TABLES["kie"][429]) == (Remedy.OPERATOR, Remedy.LATER)


async def test_a_captcha_waits_for_a_person() -> None:
    """A vendor whose session wants a captcha solved is an operator's, whatever number it says that with."""
    async with booth("suno") as it:
        it.stand.fail("captcha")
        with pytest.raises(VendorRefused) as refused:
            await _order(it.vendor)
        assert (refused.value.code, refused.value.remedy) == ("captcha", Remedy.OPERATOR)


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("CREATE_TASK_FAILED", Remedy.LATER),
        ("GENERATE_AUDIO_FAILED", Remedy.LATER),
        ("CALLBACK_EXCEPTION", None),
    ],
)
async def test_how_a_task_of_suno_ends(fault: str, outcome: Remedy | None) -> None:
    """A failed task says so once it is polled; that our callback failed does not lose the songs."""
    async with booth("suno") as it:
        it.stand.fail(fault)
        if outcome is None:
            assert len(await it.songs()) == 2
            return
        with pytest.raises(VendorRefused) as refused:
            await it.songs()
        assert (refused.value.code, refused.value.remedy) == (fault, outcome)
        assert it.stand.paid == 0


async def test_suno_keeps_to_its_limit_by_itself() -> None:
    """Orders beyond the vendor's twenty in a while wait for their turn here instead of being refused there."""
    async with booth("suno", window_s=0.1) as it:
        it.stand.most_orders = 20
        patient = adapter("suno", it.stand.url, window_s=0.6)
        assert isinstance(patient, TaskVendor)
        assert len(set(await asyncio.gather(*(patient.submit(ORDER) for _ in range(45))))) == 45
        await patient.close()
        it.stand.window_s = 60.0
        with pytest.raises(VendorRefused) as refused:
            await asyncio.gather(*(it.vendor.submit(ORDER) for _ in range(45)))
        assert refused.value.code == "430"


@pytest.mark.parametrize("word", sorted(MINIMAX_ERRORS))
async def test_the_numbers_of_minimax(word: str) -> None:
    """Every number of MiniMax comes with HTTP 200 and is told apart by what helps against it."""
    async with booth("minimax") as it:
        it.stand.fail(word)
        with pytest.raises(VendorRefused) as refused:
            await _order(it.vendor)
        number = MINIMAX_ERRORS[word][0]
        assert (refused.value.code, refused.value.remedy) == (str(number), MINIMAX_CODES[number])
        assert not refused.value.maybe_taken


async def test_minimax_by_link_under_either_name_and_in_hex() -> None:
    """The link stands under either of two names, and sound that comes in hex is the same song."""
    async with booth("minimax") as it:
        it.stand.fail("in_audio_url")
        (first,), (second,) = await it.songs(), await it.songs()
        assert first.url
        assert second.url
        hexed = Fault(
            status=200,
            body={
                "data": {"status": 2, "audio": sound("take.mp3").hex()},
                "extra_info": {"audio_length": 2000},
                "base_resp": {"status_code": 0, "status_msg": "success"},
            },
        )
        it.stand.fail(hexed)
        (third,) = await it.songs()
        assert (third.data, third.duration_s) == (sound("take.mp3"), 2.0)


@pytest.mark.parametrize(
    "body",
    [
        {"base_resp": {"status_code": 0, "status_msg": "success"}},
        {"data": {"status": 2, "audio": "not hex"}, "base_resp": {"status_code": 0}},
        {"data": {"status": 2, "audio": ""}, "base_resp": {"status_code": 0}},
        {"data": {"status": 1, "audio": "00"}, "base_resp": {"status_code": 0}},
        [],
        "<html>",
    ],
)
async def test_minimax_says_nothing_that_makes_sense(body: Any) -> None:
    """A good answer without a song in it may have cost, so it is not sent to somebody else as if nothing were."""
    async with booth("minimax") as it:
        it.stand.fail(Fault(status=200, body=body))
        with pytest.raises(VendorRefused) as refused:
            await _order(it.vendor)
        assert refused.value.maybe_taken


async def test_suno_accepts_without_saying_what() -> None:
    """An answer of 200 with null inside may have cost."""
    async with booth("suno") as it:
        it.stand.fail("data_null")
        with pytest.raises(VendorRefused) as refused:
            await _order(it.vendor)
        assert refused.value.maybe_taken


async def test_minimax_that_takes_too_long() -> None:
    """Whoever waits in vain for the one long call cannot know whether it was paid."""
    async with booth("minimax", seconds=30.0) as it:
        hasty = adapter("minimax", it.stand.url, call_s=0.2)
        with pytest.raises(VendorRefused) as refused:
            await _order(hasty)
        await hasty.close()
        assert refused.value.maybe_taken


async def test_ace_step_that_was_started_anew() -> None:
    """A server that forgot the order calls it waiting for ever; the adapter sees that it has nothing to do at all."""
    async with booth("ace_step", seconds=30.0) as it:
        task_id = await it.vendor.submit(ORDER)
        assert (await it.vendor.poll(task_id)).songs == ()
        it.stand.restart()
        with pytest.raises(VendorRefused) as refused:
            await it.vendor.poll(task_id)
        assert refused.value.code == "lost"


async def test_ace_step_follows_a_hum() -> None:
    """A recording goes along whole, as the sound that the song covers; what the server names is told, N/A is not."""
    async with booth("ace_step") as it:
        first, second = await it.songs(replace(ORDER, take=sound("take.mp3")))
        task = next(iter(it.stand.tasks.values()))
        assert (task.take_bytes, task.request["task_type"]) == (len(sound("take.mp3")), "cover")
        assert (first.key, first.tempo_bpm, second.key, second.tempo_bpm) == ("D minor", 96.0, "", 0.0)


@pytest.mark.parametrize(("fault", "code"), [("full", "http_429"), ("loading", "http_503")])
async def test_ace_step_without_room(fault: str, code: str) -> None:
    """A full queue and a model that still loads pass."""
    async with booth("ace_step") as it:
        it.stand.fail(fault)
        with pytest.raises(VendorRefused) as refused:
            await _order(it.vendor)
        assert (refused.value.code, refused.value.remedy) == (code, Remedy.LATER)


@pytest.mark.parametrize("name", ["suno", "ace_step"])
async def test_a_vendor_that_cannot_be_asked_says_nothing_about_the_order(name: str) -> None:
    """While the vendor is away nobody knows how far it is, which is not that nothing comes of it."""
    async with booth(name) as it:
        task_id = await it.vendor.submit(ORDER)
        it.stand.fail("http_502", times=9)
        with pytest.raises((Unavailable, Expired)):
            await it.vendor.poll(task_id)


async def _order(vendor: Any) -> None:
    """Send the order, however this vendor takes it."""
    if isinstance(vendor, DirectVendor):
        await vendor.sing(ORDER)
    else:
        assert isinstance(vendor, TaskVendor)
        await vendor.submit(ORDER)
