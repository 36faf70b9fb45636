"""All stand-ins behind one port of this machine: `python -m tests.fakes --port 8090`, which `cadenza sandbox` runs.

Each vendor answers under `/<name>/`; its page is at `/`. The keys are the sandbox's own and worthless.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click
from aiohttp import web

from services.mesh.orphan import end_with_parent
from tests.fakes.ace_step import AceStep
from tests.fakes.aliyun_sms import AliyunSms
from tests.fakes.apple import Apple
from tests.fakes.dingtalk import DingTalk
from tests.fakes.gemini import Gemini
from tests.fakes.minimax import MiniMax
from tests.fakes.openai_chat import OpenAiChat
from tests.fakes.otlp import Otlp
from tests.fakes.sandbox import Sandbox
from tests.fakes.smtp import Smtp
from tests.fakes.suno import Suno
from tests.fakes.wechat import Wechat

if TYPE_CHECKING:
    from tests.fakes.stand_in import StandIn

VENDORS: Final[tuple[type[StandIn], ...]] = (
    Wechat,
    Gemini,
    OpenAiChat,
    Suno,
    MiniMax,
    AceStep,
    Apple,
    Otlp,
    AliyunSms,
    Smtp,
    DingTalk,
)
LOOPBACK = "127.0.0.1"


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=8090, show_default=True)
@click.option("--mesh", default="", help="Where the mesh is that events are pushed to.")
def main(port: int, mesh: str) -> None:
    """Serve the stand-ins until Ctrl-C."""
    end_with_parent()
    sandbox = Sandbox([vendor() for vendor in VENDORS], url=f"http://{LOOPBACK}:{port}", mesh_url=mesh.rstrip("/"))
    click.echo(f"The sandbox is at {sandbox.url}/ with {', '.join(sandbox.vendors)}. Ctrl-C stops it.")
    sys.stdout.flush()
    web.run_app(sandbox.application(), host=LOOPBACK, port=port, print=None, shutdown_timeout=1.0)


if __name__ == "__main__":
    main()
