"""``python -m tests.bench.crowd ROLE``: one end of a crowd of watchers, in a process of its own.

`watchers` opens many streams and measures how late each event comes; `bare` is the least that could serve them: the
same bytes written to every stream, with nothing of ours between. Both take one command a line on standard input and
answer with one line of JSON.
"""

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import grpc.aio
import psutil
from aiohttp import web

from cadenza.composer.v1 import job_service_pb2 as pb
from cadenza.job.v1 import job_pb2
from tests.bench.ends import answer, commands

WATCH = "/cadenza.composer.v1.JobService/WatchJob"
OPENING_AT_ONCE = 32
STREAMS_A_CHANNEL = 200
_EVENT_TIME = re.compile(rb'"event_time":"([^"]+)"')
_PATIENCE_S = 120.0

Note = Callable[[float], None]


def _moment(text: bytes) -> float:
    return datetime.fromisoformat(text.decode()).timestamp()


class _Sse(asyncio.Protocol):
    """Reads one event stream with as little work as can be."""

    def __init__(self, head: bytes, opened: asyncio.Future[None], note: Note) -> None:
        self._head = head
        self._opened = opened
        self._note = note
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the stream."""
        transport.write(self._head)  # type: ignore[attr-defined]

    def connection_lost(self, error: Exception | None) -> None:
        """Say so when the stream was never opened."""
        if not self._opened.done():
            self._opened.set_exception(error or EOFError("closed before the snapshot"))

    def data_received(self, data: bytes) -> None:
        """Note each event that is whole, the snapshot only as the sign that the stream is open."""
        at = time.time()
        if not self._opened.done() and data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
            self._opened.set_exception(RuntimeError(data.decode(errors="replace")[:600]))
            return
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        for each in whole:
            if b"event: change" in each and (found := _EVENT_TIME.search(each)):
                self._note(at - _moment(found[1]))
            elif b"event: snapshot" in each and not self._opened.done():
                self._opened.set_result(None)


async def _open_sse(said: dict[str, Any], note: Note) -> None:
    opened = asyncio.get_running_loop().create_future()
    lines = [f"GET {said['path']} HTTP/1.1", "Host: bench", f"Authorization: Bearer {said['token']}", "", ""]
    head = "\r\n".join(lines).encode()
    await asyncio.get_running_loop().create_connection(lambda: _Sse(head, opened, note), said["host"], said["port"])
    async with asyncio.timeout(_PATIENCE_S):
        await opened


async def _open_grpc(said: dict[str, Any], channel: grpc.aio.Channel, note: Note) -> asyncio.Task[None]:
    opened = asyncio.Event()
    call: Any = channel.unary_stream(
        WATCH,
        request_serializer=pb.WatchJobRequest.SerializeToString,
        response_deserializer=pb.WatchJobResponse.FromString,
    )(pb.WatchJobRequest(job_id=said["job_id"]), metadata=(("authorization", f"Bearer {said['token']}"),))

    async def read() -> None:
        async for message in call:
            at = time.time()
            if message.HasField("event") and opened.is_set():
                note(at - message.event.event_time.ToNanoseconds() / 1e9)
            opened.set()

    task = asyncio.create_task(read())
    async with asyncio.timeout(_PATIENCE_S):
        waiting = asyncio.create_task(opened.wait())
        await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not opened.is_set():
            waiting.cancel()
            await task
    return task


async def watchers() -> None:
    """Open streams on the first command; on each later one say how late this many events came."""
    told = commands()
    said = await anext(told)
    late: list[float] = []
    arrived = asyncio.Event()

    def note(seconds: float) -> None:
        late.append(seconds)
        arrived.set()

    channels = [
        grpc.aio.insecure_channel(f"{said['host']}:{said['port']}", options=[("grpc.use_local_subchannel_pool", 1)])
        for _ in range(0, said["count"], STREAMS_A_CHANNEL)
    ]
    tasks = []
    for first in range(0, said["count"], OPENING_AT_ONCE):
        numbers = range(first, min(first + OPENING_AT_ONCE, said["count"]))
        if said["kind"] == "sse":
            await asyncio.gather(*(_open_sse(said, note) for _ in numbers))
        else:
            opening = (_open_grpc(said, channels[number // STREAMS_A_CHANNEL], note) for number in numbers)
            tasks += await asyncio.gather(*opening)
    # Events that the snapshot told already may still be on their way to some.
    await asyncio.sleep(1.0)
    late.clear()
    answer({"open": said["count"]})
    async for command in told:
        async with asyncio.timeout(_PATIENCE_S):
            while len(late) < command["events"]:
                arrived.clear()
                await arrived.wait()
        answer({"late_ms": [each * 1e3 for each in late]})
        late.clear()


async def bare() -> None:
    """Serve one port; each command has the given number of events written to every stream."""
    told = commands()
    said = await anext(told)
    queues: set[asyncio.Queue[Any]] = set()
    port, render = await (_bare_sse(queues) if said["kind"] == "sse" else _bare_grpc(queues))
    answer({"port": port})
    sequence = 0
    async for command in told:
        used = psutil.Process().cpu_times()
        for _ in range(command["events"]):
            sequence += 1
            one = render(sequence)
            for queue in queues:
                queue.put_nowait(one)
            await asyncio.sleep(command["every_s"])
        while any(not queue.empty() for queue in queues):  # noqa: ASYNC110  # an event would cost what is measured
            await asyncio.sleep(0.01)
        after = psutil.Process().cpu_times()
        answer({"cpu_s": after.user + after.system - used.user - used.system})


async def _bare_sse(queues: set[asyncio.Queue[Any]]) -> tuple[int, Callable[[int], bytes]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b"id: 0\nevent: snapshot\ndata: {}\n\n")
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        queues.add(queue)
        while True:
            await response.write(await queue.get())

    def render(sequence: int) -> bytes:
        moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")  # noqa: TID251  # the reference has no kit
        data = (
            f'{{"sequence":{sequence},"job":null,"event":{{"sequence":{sequence},"event_time":"{moment}",'
            '"state":"queued","step":"bench","step_progress_percent":0,"progress_percent":0,"message":"line",'
            '"final":false}}'
        )
        return f"id: {sequence}\nevent: change\ndata: {data}\n\n".encode()

    app = web.Application()
    app.router.add_get("/events", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    return runner.addresses[0][1], render


async def _bare_grpc(queues: set[asyncio.Queue[Any]]) -> tuple[int, Callable[[int], pb.WatchJobResponse]]:
    async def serve(request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.WatchJobResponse]:
        queue: asyncio.Queue[pb.WatchJobResponse] = asyncio.Queue()
        queues.add(queue)
        yield pb.WatchJobResponse(sequence=0, job=job_pb2.Job(job_id=request.job_id))
        while True:
            yield await queue.get()

    def render(sequence: int) -> pb.WatchJobResponse:
        event = job_pb2.JobEvent(sequence=sequence, state=job_pb2.JOB_STATE_QUEUED, step="bench", message="line")
        event.event_time.FromNanoseconds(time.time_ns())
        return pb.WatchJobResponse(sequence=sequence, event=event)

    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        serve,
        request_deserializer=pb.WatchJobRequest.FromString,
        response_serializer=pb.WatchJobResponse.SerializeToString,
    )
    service = WATCH.split("/")[1]
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"WatchJob": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _kept.append(server)
    return port, render


_kept: list[object] = []


if __name__ == "__main__":
    asyncio.run({"watchers": watchers, "bare": bare}[sys.argv[1]]())
