"""Moderation as people, administrators and Share meet it, with the real Wallet and Media."""

from typing import Any

import grpc.aio
import pytest

from cadenza.composer.v1 import lyrics_service_pb2 as lyrics_pb
from cadenza.composer.v1 import moderation_service_pb2 as pb
from cadenza.composer.v1 import moderation_service_pb2_grpc as moderation_grpc
from cadenza.composer.v1 import standing_pb2
from cadenza.composer.v1 import track_service_pb2 as track_pb
from services.composer.domain.moderation import SoundVerdict, Standing
from services.composer.domain.track import Wishes
from services.composer.domain.word_list import WordList
from services.composer.providers import Judgement
from services.composer.usecases.address import Addresses
from services.composer.usecases.moderation import Moderation
from services.composer.usecases.track import Caller, Limits, Tracks
from services.kit.clock import now
from services.kit.errors import PermissionDenied, RemoteError, Unavailable
from services.kit.ids import new_id
from services.kit.rpc.errors import from_rpc
from tests.composer.studio import Studio
from tests.kit.rpc_layouts import bearer

RISKY, REVIEW = "专业代开发票", "有时想自杀"


def _stub(studio: Studio, caller: str = "gateway") -> Any:
    return moderation_grpc.ModerationServiceStub(studio.mesh.peers(caller).channel("composer"))


def _admin(studio: Studio) -> Any:
    return tuple(bearer(studio.issuer.token(sub=new_id(), roles=["admin"])))


async def _ready(studio: Studio, **wishes: Any) -> str:
    answer = await studio.create(**wishes)
    await studio.finish(answer.job_id)
    return str(answer.track_id)


async def _standing(studio: Studio, track_id: str) -> str:
    """Return where the track stands once Share has asked about it."""
    request = track_pb.ResolveTrackRequest(track_id=track_id, user_id=studio.user_id)
    answer = await studio.tracks("share").ResolveTrack(request)
    return standing_pb2.Standing.Name(answer.track.standing).removeprefix("STANDING_").lower()


async def _refused(call: Any) -> RemoteError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc(caught.value)


async def test_a_listed_word_is_refused_before_it_costs_anything(studio: Studio) -> None:
    """Words of the list are refused by their field, in songs and in themes, and nothing is held or kept."""
    for wishes in ({"title": RISKY}, {"lyrics": f"la\n{RISKY}"}, {"style": RISKY}, {"mood": RISKY}):
        error = await _refused(studio.create(**wishes))
        assert (error.reason, error.metadata["field"]) == ("CONTENT_REJECTED", next(iter(wishes)))
    request = lyrics_pb.GenerateLyricsRequest(theme=RISKY)
    error = await _refused(studio.lyrics().GenerateLyrics(request, metadata=studio.metadata()))
    assert (error.reason, error.metadata["field"]) == ("CONTENT_REJECTED", "theme")
    assert await studio.entries() == [100]
    assert await studio.rows() == (0, 0)


async def test_a_song_is_looked_at_when_it_is_to_be_shown(studio: Studio) -> None:
    """A song is unchecked for its owner until Share asks about it; then it passes and stays so."""
    track_id = await _ready(studio, title="晨曲")
    assert (await studio.track(track_id)).standing == standing_pb2.STANDING_UNCHECKED
    assert await _standing(studio, track_id) == "pass"
    assert (await studio.track(track_id)).standing == standing_pb2.STANDING_PASS


async def test_a_list_is_looked_at_as_well(studio: Studio) -> None:
    """Songs that nobody has looked at, as all from before the rules, are looked at when Share lists them."""
    good, doubtful = await _ready(studio, title="晨曲"), await _ready(studio, title=REVIEW)
    request = track_pb.ResolveTracksRequest(track_ids=[good, doubtful])
    answer = await studio.tracks("share").ResolveTracks(request)
    found = {each.track.track_id: each.track.standing for each in answer.tracks}
    assert found == {good: standing_pb2.STANDING_PASS, doubtful: standing_pb2.STANDING_REVIEW}


async def test_words_for_review_wait_for_a_person(studio: Studio) -> None:
    """Words for review make a song that only its owner sees, until an administrator lets it pass."""
    track_id = await _ready(studio, title=REVIEW)
    assert await _standing(studio, track_id) == "review"
    shown = (await _stub(studio).GetModeration(_of(track_id), metadata=studio.metadata())).moderation
    assert [(each.part, each.source, each.label) for each in shown.findings] == [("words", "word_list", "")]
    assert shown.title == ""
    waiting = await _waiting(studio)
    assert [(each.track_id, each.title, each.findings[0].label) for each in waiting] == [(track_id, REVIEW, "想自杀")]
    decided = await _decide(studio, track_id, standing_pb2.STANDING_PASS, note="a song of comfort")
    assert decided.standing == standing_pb2.STANDING_PASS
    assert await _standing(studio, track_id) == "pass"
    assert await _waiting(studio) == []


async def test_other_words_are_looked_at_anew(studio: Studio) -> None:
    """A new title is judged at once, a person's word about the old one holds no more, and listed words are refused."""
    track_id = await _ready(studio, title="晨曲")
    await _decide(studio, track_id, standing_pb2.STANDING_RISKY)
    assert await _standing(studio, track_id) == "risky"
    update = track_pb.UpdateTrackRequest(track_id=track_id, title="夜曲")
    changed = (await studio.tracks().UpdateTrack(update, metadata=studio.metadata())).track
    assert changed.standing == standing_pb2.STANDING_PASS
    refused = track_pb.UpdateTrackRequest(track_id=track_id, lyrics=RISKY)
    error = await _refused(studio.tracks().UpdateTrack(refused, metadata=studio.metadata()))
    assert (error.reason, error.metadata["field"]) == ("CONTENT_REJECTED", "lyrics")
    assert (await studio.track(track_id)).lyrics == ""


async def test_an_appeal_is_answered(studio: Studio) -> None:
    """An owner may appeal against a finding; it waits for an administrator, whose word answers it."""
    track_id = await _ready(studio, title="晨曲")
    asked = pb.AppealTrackRequest(track_id=track_id, message="<b>It is a lullaby.</b>")
    error = await _refused(_stub(studio).AppealTrack(asked, metadata=studio.metadata()))
    assert error.reason == "BUSINESS_RULE"
    await _decide(studio, track_id, standing_pb2.STANDING_RISKY)
    said = (await _stub(studio).AppealTrack(asked, metadata=studio.metadata())).moderation
    assert (said.appeal, said.HasField("decide_time")) == ("It is a lullaby.", False)
    assert [(each.track_id, each.appeal) for each in await _waiting(studio)] == [(track_id, "It is a lullaby.")]
    decided = await _decide(studio, track_id, standing_pb2.STANDING_PASS)
    assert decided.HasField("decide_time")
    assert await _waiting(studio) == []


async def test_findings_are_the_owners_and_decisions_the_administrators(studio: Studio) -> None:
    """Nobody else sees what was found or appeals, and no user decides or reads the list of what waits."""
    track_id = await _ready(studio, title=REVIEW)
    stranger = tuple(bearer(studio.issuer.token(sub=new_id())))
    stub = _stub(studio)
    for call in (
        stub.GetModeration(_of(track_id), metadata=stranger),
        stub.AppealTrack(pb.AppealTrackRequest(track_id=track_id, message="mine"), metadata=stranger),
    ):
        assert (await _refused(call)).reason == "NOT_FOUND"
    for call in (
        stub.ListModerations(pb.ListModerationsRequest(), metadata=studio.metadata()),
        stub.DecideModeration(
            pb.DecideModerationRequest(track_id=track_id, standing=standing_pb2.STANDING_PASS),
            metadata=studio.metadata(),
        ),
    ):
        assert (await _refused(call)).reason == "PERMISSION_DENIED"
    error = await _refused(stub.AcceptWechatPush(pb.AcceptWechatPushRequest(query={"a": "b"}, body=b"{}")))
    assert error.reason == "PERMISSION_DENIED"


async def test_what_waits_is_paged(studio: Studio) -> None:
    """What waits for a person comes newest first and page by page, each once, also from other users."""
    ids = []
    for _ in range(3):
        await studio.new_user()
        ids.append(await _ready(studio, title=REVIEW))
        await _standing(studio, ids[-1])
    first = await _stub(studio).ListModerations(pb.ListModerationsRequest(page_size=2), metadata=_admin(studio))
    second = await _stub(studio).ListModerations(
        pb.ListModerationsRequest(page_size=2, page_token=first.next_page_token), metadata=_admin(studio)
    )
    found = [each.track_id for page in (first, second) for each in page.moderations]
    assert [each for each in found if each in ids] == ids[::-1]


class _Checker:
    """Judges words and sounds as a test says; away when it says so."""

    name = "checker"

    def __init__(self) -> None:
        self.standing = Standing.PASS
        self.away = False
        self.asked: list[str] = []
        self.reference = new_id()

    async def judge(self, user_id: str, title: str, text: str) -> Judgement | None:
        self.asked.append(f"{title}|{text}")
        if self.away:
            raise Unavailable("away")
        return Judgement(self.standing, "label")

    async def ask(self, user_id: str, url: str) -> str | None:
        self.asked.append(url)
        return self.reference

    def read(self, query: Any, body: bytes) -> tuple[str, SoundVerdict | None]:
        if query.get("key") != "right":
            raise PermissionDenied("not ours")
        return "success", SoundVerdict(query["reference"], self.name, Standing(body.decode()), "20002")


@pytest.fixture
def checker() -> _Checker:
    """Return a checker of good will."""
    return _Checker()


def _moderation(studio: Studio, checker: _Checker) -> Moderation:
    return Moderation(
        db=studio.db,
        clock=now,
        words=WordList.parsed([]),
        checks=[checker],
        sound=checker,
        addresses=Addresses(studio.media("composer")),
        push=checker,
    )


def _tracks(studio: Studio, moderation: Moderation) -> Tracks:
    return Tracks(
        db=studio.db,
        queue=studio.queue,
        charge=studio.charge,
        media=studio.media("composer"),
        limits=Limits(per_user=3, in_all=100),
        clock=now,
        moderation=moderation,
    )


async def test_a_checker_refuses_before_the_charge_and_is_missed_by_drafts_only(
    studio: Studio, checker: _Checker
) -> None:
    """What a checker calls risky costs nothing; while it is away songs are made, and none is shown to others."""
    tracks = _tracks(studio, _moderation(studio, checker))
    wishes = Wishes.cleaned(
        asset_id="",
        title="x",
        style="",
        mood="",
        lyrics="some words",
        voice_gender="any",
        duration_s=0,
        seed=1,
        today=now(),
    )
    checker.standing = Standing.RISKY
    with pytest.raises(Exception, match="rules for content"):
        await tracks.create(Caller(studio.user_id), wishes, None)
    assert await studio.entries() == [100]
    checker.away = True
    track, _ = await tracks.create(Caller(studio.user_id), wishes, None)
    with pytest.raises(Unavailable):
        await tracks.shown(studio.user_id, track.track_id)
    assert (await tracks.get(studio.user_id, track.track_id)).standing is Standing.UNCHECKED
    # A list goes on without it, and it is asked about no more than one song.
    before = len(checker.asked)
    listed = await tracks.many_shown([track.track_id, track.track_id, new_id()])
    assert [each.standing for each in listed] == [Standing.UNCHECKED]
    assert len(checker.asked) == before + 1
    checker.away, checker.standing = False, Standing.REVIEW
    assert (await tracks.shown(studio.user_id, track.track_id)).standing is Standing.REVIEW


async def test_a_later_verdict_on_the_sound_decides(studio: Studio, checker: _Checker) -> None:
    """A song waits for the verdict on its sound, which is asked for once; a pushed one counts, twice as once."""
    track_id = await _ready(studio, title="晨曲")
    moderation = _moderation(studio, checker)
    tracks = _tracks(studio, moderation)
    assert (await tracks.shown(studio.user_id, track_id)).standing is Standing.PENDING
    assert (await tracks.shown(studio.user_id, track_id)).standing is Standing.PENDING
    assert len([each for each in checker.asked if each.startswith("http")]) == 1
    query = {"key": "right", "reference": checker.reference}
    for _ in range(2):
        assert await moderation.pushed(query, b"risky") == "success"
    assert (await tracks.get(studio.user_id, track_id)).standing is Standing.RISKY
    # Words that pass do not cure it, and nobody asks about the sound again.
    renamed = await tracks.update(studio.user_id, track_id, title="夜曲", lyrics=None)
    assert renamed.standing is Standing.RISKY


async def test_strangers_push_nothing(studio: Studio, checker: _Checker) -> None:
    """A push that is not the checker's is refused, and one that nobody waits for is to be said again."""
    track_id = await _ready(studio, title="晨曲")
    moderation = _moderation(studio, checker)
    tracks = _tracks(studio, moderation)
    await tracks.shown(studio.user_id, track_id)
    with pytest.raises(PermissionDenied):
        await moderation.pushed({"key": "wrong", "reference": checker.reference}, b"pass")
    with pytest.raises(Unavailable):
        await moderation.pushed({"key": "right", "reference": "of nobody"}, b"risky")
    assert (await tracks.get(studio.user_id, track_id)).standing is Standing.PENDING


def _of(track_id: str) -> pb.GetModerationRequest:
    return pb.GetModerationRequest(track_id=track_id)


async def _waiting(studio: Studio) -> list[pb.Moderation]:
    """Return what waits of the person's."""
    answer = await _stub(studio).ListModerations(pb.ListModerationsRequest(page_size=100), metadata=_admin(studio))
    return [each for each in answer.moderations if each.user_id == studio.user_id]


async def _decide(studio: Studio, track_id: str, standing: Any, note: str = "") -> pb.Moderation:
    request = pb.DecideModerationRequest(track_id=track_id, standing=standing, note=note)
    answer: pb.DecideModerationResponse = await _stub(studio).DecideModeration(request, metadata=_admin(studio))
    return answer.moderation
