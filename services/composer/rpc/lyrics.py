"""The lyrics service of the contract."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from cadenza.composer.v1 import lyrics_service_pb2 as pb
from cadenza.composer.v1.lyrics_service_pb2_grpc import LyricsServiceServicer
from services.composer.domain.draft import Piece
from services.composer.domain.lyrics import Lyrics, LyricsVersion, LyricsWishes
from services.composer.rpc.messages import event_message, job_message, timestamp
from services.composer.usecases.lyrics import Songwriter
from services.composer.usecases.track import Caller
from services.kit.rpc.call import Call, current_call
from services.kit.rpc.identity import ADMIN, current_user

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
        within_s = 0.0 if request.in_background else _time_left_s(call)
        made, job = await self._songwriter.create(caller, wishes, call.idempotency, within_s=within_s)
        message = lyrics_message(made)
        return pb.GenerateLyricsResponse(
            lyrics=message,
            job=job_message(job),
            request_id=made.request_name,
            versions=message.versions,
            cost_credits=made.cost_credits,
            remaining_credits=made.remaining_credits,
        )

    async def GetLyrics(self, request: pb.GetLyricsRequest, context: Any) -> pb.GetLyricsResponse:
        """Return some of the caller's lyrics."""
        made = await self._songwriter.get(current_user().user_id, request.lyrics_id)
        return pb.GetLyricsResponse(lyrics=lyrics_message(made))

    async def WatchLyrics(self, request: pb.WatchLyricsRequest, context: Any) -> AsyncIterator[pb.WatchLyricsResponse]:
        """Stream words while they are written, and then their versions."""
        user_id = current_user().user_id
        last: int | None = None
        async with aclosing(self._songwriter.watch(user_id, request.lyrics_id, request.after_sequence)) as lines:
            async for made, job, event in lines:
                piece = Piece.read(event.message)
                yield pb.WatchLyricsResponse(
                    sequence=event.sequence,
                    lyrics=lyrics_message(made) if made else None,
                    job=job_message(job) if job else None,
                    # What repeats a number is the job as it stands, not a line of its log.
                    event=None if last is None or event.sequence == last else event_message(event),
                    draft=pb.LyricsDraft(draft=piece.draft, label=piece.label, text=piece.text) if piece else None,
                )
                last = event.sequence

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
        prompt=version.prompt,
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
        usage=_usage(made),
    )


def _usage(made: Lyrics) -> pb.ModelUsage | None:
    """Return what the lyrics took; its price is between the vendor and whoever runs Cadenza."""
    if not made.input_tokens:
        return None
    cost = made.cost_micros if ADMIN in current_user().roles else 0
    return pb.ModelUsage(input_tokens=made.input_tokens, output_tokens=made.output_tokens, cost_micros=cost)
