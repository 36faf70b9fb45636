"""Which checkers of content there are, by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.composer.providers.lyrics_choice import text_models
from services.composer.providers.model_safety import ModelSafety
from services.composer.providers.wechat_push import WechatPush
from services.composer.providers.wechat_safety import WechatSafety
from services.kit.http import HttpClient
from services.kit.wechat import WechatApi

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from services.composer.config import Config
    from services.composer.providers import SoundCheck, VerdictPush, WordCheck
    from services.composer.providers.wechat_safety import OpenId


class ContentChecks:
    """The checkers that the settings switch on, with their connections."""

    def __init__(self, config: Config, redis: Redis, open_id: OpenId) -> None:
        """Prepare the checkers; nobody is asked yet."""
        self._http = HttpClient("wechat", private_allowed=True)
        api = WechatApi(self._http, redis, config)
        wechat = WechatSafety(api, open_id)
        self._model = next(text_models(config), None) if ModelSafety.name in config.moderation_checks else None
        ready: dict[str, WordCheck] = {wechat.name: wechat}
        if self._model is not None:
            ready[ModelSafety.name] = ModelSafety(self._model)
        self.words = [ready[name] for name in config.moderation_checks]
        self.sound: SoundCheck | None = wechat if config.moderation_sound else None
        self.push: VerdictPush | None = None
        if config.wechat_push_token:
            self.push = WechatPush(
                token=config.wechat_push_token, aes_key=config.wechat_push_aes_key, app_id=config.wechat_app_id
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()
        if self._model is not None:
            await self._model.close()
