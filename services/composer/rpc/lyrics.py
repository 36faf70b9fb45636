"""The lyrics service of the contract."""

import asyncio
from typing import Any

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from cadenza.composer.v1.lyrics_service_pb2_grpc import LyricsServiceServicer
from services.composer.domain.lyrics import Lyrics, LyricsVersion, LyricsWishes
from services.composer.rpc.messages import job_message, timestamp
from services.composer.usecases.lyrics import Songwriter
from services.composer.usecases.track import Caller
from services.kit.rpc.call import Call, current_call
from services.kit.rpc.identity import current_user

# What is left of the call's time for reading the result and answering.
_ANSWER_S = 1.0
_LONGEST_WAIT_S = 60.0


class LyricsRpc(LyricsServiceServicer):
    """Answers the calls of cadenza.composer.v1.LyricsService."""

    def __init__(self, songwriter: Songwriter) -> None:
        self._songwriter = songwriter

    async def GenerateLyrics(self, request: pb.GenerateLyricsRequest, context: Any) -> pb.GenerateLyricsResponse:
        """Write two versions of a song's words."""
        call = current_call()
        language = pb.Lyrics.Language.Name(request.language).removeprefix("LANGUAGE_").lower()
        wishes = LyricsWishes.cleaned(
            theme=request.theme,
            title=request.title,
            style=request.style,
            mood=request.mood,
            language=language if language in {"zh", "en"} else "auto",
            keywords=tuple(request.keywords),
            seed=request.seed,
        )
        caller = Caller(current_user().user_id, call.platform, call.trace_id)
        made, job = await self._songwriter.create(caller, wishes, call.idempotency, within_s=_time_left_s(call))
        message = lyrics_message(made)
        return pb.GenerateLyricsResponse(
            lyrics=message,
            job=job_message(job),
            request_id=request.request_id or made.lyrics_id,
            versions=message.versions,
            cost_credits=made.cost_credits,
            remaining_credits=made.remaining_credits,
        )

    async def GetLyrics(self, request: pb.GetLyricsRequest, context: Any) -> pb.GetLyricsResponse:
        """Return some of the caller's lyrics."""
        made = await self._songwriter.get(current_user().user_id, request.lyrics_id)
        return pb.GetLyricsResponse(lyrics=lyrics_message(made))

    async def ListLyrics(self, request: pb.ListLyricsRequest, context: Any) -> pb.ListLyricsResponse:
        """Return a page of the caller's lyrics."""
        found, token = await self._songwriter.page(
            current_user().user_id, page_size=request.page_size, page_token=request.page_token
        )
        return pb.ListLyricsResponse(lyrics=[lyrics_message(each) for each in found], next_page_token=token)

    async def DeleteLyrics(self, request: pb.DeleteLyricsRequest, context: Any) -> pb.DeleteLyricsResponse:
        """Put lyrics away."""
        await self._songwriter.delete(current_user().user_id, request.lyrics_id)
        return pb.DeleteLyricsResponse()


def _time_left_s(call: Call) -> float:
    if call.deadline is None:
        return _LONGEST_WAIT_S
    return call.deadline - asyncio.get_running_loop().time() - _ANSWER_S


def _language(name: str) -> pb.Lyrics.Language.ValueType:
    return pb.Lyrics.Language.Value(f"LANGUAGE_{name.upper()}")


def _version(version: LyricsVersion) -> pb.LyricsVersion:
    return pb.LyricsVersion(
        version_id=version.version_id,
        label=version.label,
        title=version.title,
        language=_language(version.language),
        form=version.form,
        sections=[pb.LyricsSection(kind=kind, lines=lines) for kind, lines in version.sections],
        content=version.content,
        provider=version.provider,
        model=version.model,
    )


def lyrics_message(made: Lyrics) -> pb.Lyrics:
    """Return the lyrics as their owner sees them."""
    return pb.Lyrics(
        lyrics_id=made.lyrics_id,
        state=pb.Lyrics.State.Value(f"STATE_{made.state.value.upper()}"),
        job_id=made.job_id,
        theme=made.theme,
        title=made.title,
        style=made.style,
        mood=made.mood,
        language=_language(made.language),
        keywords=made.keywords,
        versions=[_version(each) for each in made.versions],
        cost_credits=made.cost_credits,
        create_time=timestamp(made.create_time),
        update_time=timestamp(made.update_time),
        seed=made.seed,
    )
