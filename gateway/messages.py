"""What people read when something fails: one sentence in Chinese and one in English per reason.

Each sentence says what to do next. `{name}` is filled from the error's metadata; a part in
square brackets falls away when one of its names is missing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_PART = re.compile(r"\[([^\[\]]*)\]")
_NAME = re.compile(r"\{([a-z_]+)\}")
_LONGEST_VALUE = 200


@dataclass(frozen=True, slots=True)
class Sentence:
    """One message in both languages."""

    zh: str
    en: str

    def told(self, locale: str, metadata: Mapping[str, str]) -> str:
        """Return the sentence in the language, its gaps filled; an unknown language is told Chinese."""
        text = _PART.sub(lambda part: _filled(part[1], metadata), self.en if locale == "en" else self.zh)
        return _NAME.sub(lambda name: metadata.get(name[1], "?")[:_LONGEST_VALUE], text)


def _filled(part: str, metadata: Mapping[str, str]) -> str:
    return part if all(name in metadata for name in _NAME.findall(part)) else ""


MESSAGES: Final[Mapping[str, Sentence]] = {
    "UNKNOWN_ERROR": Sentence(
        "服务器内部错误，请稍后重试；如仍失败，请把 trace_id 告诉我们。",
        "Something went wrong on our side. Try again later; if it keeps failing, send us the trace_id.",
    ),
    "PARAM_INVALID": Sentence(
        "请求参数有误[：{field}]，请修改后重试。", "The request is not valid[: {field}]. Correct it and try again."
    ),
    "NOT_FOUND": Sentence(
        "没有找到请求的内容，请检查地址或编号。", "There is nothing here. Check the address or the id."
    ),
    "SERVICE_UNAVAILABLE": Sentence(
        "服务暂时不可用[（{dependency}）]，请稍后重试。",
        "The service is not available now[ ({dependency})]. Try again shortly.",
    ),
    "METHOD_NOT_ALLOWED": Sentence(
        "该地址不支持此请求方法[，可用：{allow}]。", "This address does not take that method[; it takes {allow}]."
    ),
    "CONFLICT": Sentence("内容已发生变化，请刷新后重试。", "It has changed in the meantime. Reload and try again."),
    "IDEMPOTENCY_KEY_REUSED": Sentence(
        "该幂等键已用于另一个请求，请换一个新的键。", "This idempotency key belongs to another request. Use a new one."
    ),
    "BUSINESS_RULE": Sentence(
        "当前状态下不能执行此操作，请检查后重试。", "That cannot be done in the present state. Check it and try again."
    ),
    "TIMEOUT": Sentence("处理超时，请稍后重试。", "It took too long. Try again later."),
    "BODY_TOO_LARGE": Sentence(
        "请求内容过大[，上限 {limit_bytes} 字节]，请精简后重试。",
        "The body is too large[; the limit is {limit_bytes} bytes]. Send less.",
    ),
    "MEDIA_TYPE_UNSUPPORTED": Sentence(
        "不支持该内容类型[，请使用 {accepts}]。", "This content type is not read here[; send {accepts}]."
    ),
    "NOT_ACCEPTABLE": Sentence(
        "无法提供所要求的响应类型[，可提供 {offers}]。", "The response type asked for is not made here[; {offers} is]."
    ),
    "CANCELLED": Sentence(
        "请求已取消。如需结果，请重新发起。", "The request was cancelled. Send it again if you want the result."
    ),
    "RATE_LIMITED": Sentence(
        "请求过于频繁，请[在 {retry_after_s} 秒]后重试。", "Too many requests. Try again[ in {retry_after_s} seconds]."
    ),
    "AUTH_REQUIRED": Sentence("请先登录。", "Log in first."),
    "AUTH_EXPIRED": Sentence("登录已过期，请重新登录。", "The session has ended. Log in again."),
    "AUTH_PROVIDER_ERROR": Sentence(
        "第三方登录失败，请重新授权后再试。", "The identity provider refused. Authorise again and retry."
    ),
    "PERMISSION_DENIED": Sentence(
        "没有权限执行此操作。如有疑问，请联系我们。", "You may not do this. Contact us if you think you should."
    ),
    "ACCOUNT_DISABLED": Sentence("该账号已停用，请联系我们。", "This account is switched off. Contact us."),
    "ACCOUNT_LOCKED": Sentence(
        "密码错误次数过多，账号已暂时锁定，请[在 {retry_after_s} 秒后重试，或]用验证码登录。",
        "Too many wrong passwords; the account is locked for now. [Try again in {retry_after_s} seconds, or ]"
        "log in by a code.",
    ),
    "CODE_INVALID": Sentence("验证码不正确，请检查后重试。", "The code is not right. Check it and try again."),
    "CODE_EXPIRED": Sentence("验证码已失效，请重新获取。", "The code has run out. Ask for a new one."),
    "CREDENTIALS_INVALID": Sentence(
        "账号或密码不正确，请检查后重试。", "The account or the password is not right. Check both and try again."
    ),
    "IDENTITY_IN_USE": Sentence(
        "该登录方式已属于另一个账号，请直接登录或合并账号。",
        "This way to log in belongs to another account. Log in with it, or merge the two.",
    ),
    "PASSWORD_WEAK": Sentence(
        "密码太容易被猜到，请使用 8 到 128 个字符、不常见的密码。",
        "Others would guess this password. Use 8 to 128 characters that are not among the common ones.",
    ),
    "MESSAGE_NOT_SENT": Sentence(
        "验证码或邮件未能发出，请稍后重试或换一种方式。",
        "The code or letter could not be sent. Try again later, or another way.",
    ),
    "TARGET_REFUSED": Sentence(
        "该手机号或邮箱无法接收，请检查后重试。", "This phone or mailbox cannot be reached. Check it and try again."
    ),
    "LAST_IDENTITY": Sentence(
        "这是最后一种登录方式，请先绑定另一种再解绑。",
        "This is the last way to log in. Add another one before you take it away.",
    ),
    "UPLOAD_TOO_LARGE": Sentence(
        "文件过大[，上限 {limit_mb} MB]，请压缩、截短，或改用直传地址上传。",
        "The file is too large[; the limit is {limit_mb} MB]. Shorten it, or upload it by a signed address.",
    ),
    "UPLOAD_FORMAT_INVALID": Sentence(
        "无法识别的音频格式，请上传 mp3、wav、m4a、aac、ogg、flac 或 webm。",
        "This is not sound of a known format. Send mp3, wav, m4a, aac, ogg, flac or webm.",
    ),
    "UPLOAD_DURATION_INVALID": Sentence(
        "录音时长不符合要求，请录制 1 到 180 秒。",
        "The recording is too short or too long. Record between 1 and 180 seconds.",
    ),
    "UPLOAD_INCOMPLETE": Sentence(
        "文件没有完整到达，请重新上传。", "The file did not arrive as announced. Upload it again."
    ),
    "UPLOAD_URL_EXPIRED": Sentence("地址已过期，请重新获取。", "The address has expired. Ask for a new one."),
    "ASSET_NOT_READY": Sentence(
        "素材尚未就绪，请等待处理完成或更换文件。", "The file is not ready. Wait until it is, or use another one."
    ),
    "ASSET_IN_USE": Sentence(
        "素材正在被歌曲使用，请先结束或删除相关歌曲。", "A track uses this file. Finish or delete the track first."
    ),
    "UPLOAD_OFFSET_WRONG": Sentence(
        "上传进度与服务器不一致，请从服务器记录的位置继续。",
        "The upload does not go on where it stopped. Ask where it stands and go on from there.",
    ),
    "UPLOAD_LOCKED": Sentence(
        "该文件正在另一处上传，请稍后再试。", "This file is being uploaded elsewhere. Try again in a moment."
    ),
    "UPLOAD_CHECKSUM_WRONG": Sentence(
        "文件内容校验失败，请重新上传这一部分。", "The bytes arrived damaged. Upload this part again."
    ),
    "TAKE_SILENT": Sentence(
        "录音几乎没有声音，请靠近麦克风再录一次。",
        "The take is silent. Move closer to the microphone and record again.",
    ),
    "TAKE_NOISE": Sentence(
        "录音里只有噪声，请在安静的地方再录一次。", "The take holds only noise. Record again in a quiet place."
    ),
    "TAKE_SPEECH": Sentence(
        "听到的是说话而不是旋律，请哼唱后再录一次。", "The take is speech. Hum or sing a melody and record again."
    ),
    "TAKE_NO_MELODY": Sentence(
        "没有听出稳定的旋律，请哼得更清楚、更长一些。",
        "No steady melody was heard. Hum more clearly and a little longer.",
    ),
    "TAKE_CLIPPED": Sentence(
        "录音音量过大而失真，请离麦克风远一些再录一次。",
        "The take is overdriven. Move away from the microphone and record again.",
    ),
    "TAKE_TWO_VOICES": Sentence(
        "听到不止一个声音，请关掉伴奏、一个人再哼一次。",
        "More than one voice is heard. Turn off any music and hum again on your own.",
    ),
    "TAKE_FAR": Sentence(
        "离麦克风太远，回声盖过了人声，请靠近到一臂之内再录一次。",
        "The room is louder than the voice. Come within an arm's length of the microphone and record again.",
    ),
    "TAKE_TOO_SHORT": Sentence(
        "录音太短，请至少哼两小节旋律再试一次。",
        "The take is too short. Hum at least two bars of a melody and record again.",
    ),
    "TAKE_TOO_LONG": Sentence(
        "录音太长，请截取三分钟以内的一段再上传。",
        "The take is too long. Cut it to less than three minutes and upload it again.",
    ),
    "GENERATE_BUSY": Sentence(
        "正在生成的作品过多，请等待其中一个完成后再试。",
        "Too many works are being made. Wait for one to finish and try again.",
    ),
    "GENERATE_PROVIDER_ERROR": Sentence(
        "生成失败，积分已退回，请重试。", "The song could not be made; your credits are back. Try again."
    ),
    "INSUFFICIENT_CREDITS": Sentence(
        "积分不足[：需要 {needed}，可用 {available}]，请充值后再试。",
        "Not enough credits[: {needed} needed, {available} available]. Top up and try again.",
    ),
    "QUOTA_EXCEEDED": Sentence(
        "今日次数已用完[：上限 {limit}，已用 {used}][，{resets_at} 恢复]。",
        "Today's runs are used up[: {used} of {limit}][; they begin anew at {resets_at}].",
    ),
    "JOB_NOT_CANCELLABLE": Sentence(
        "任务已经结束，不能取消，请刷新查看结果。",
        "The job has ended and cannot be cancelled. Reload to see its result.",
    ),
    "JOB_DEADLINE_EXCEEDED": Sentence(
        "任务超时，积分已退回，请重试。", "The job ran out of time; your credits are back. Try again."
    ),
    "JOB_LEASE_LOST": Sentence(
        "任务已转由其他进程处理，请刷新查看进度。", "Another worker has the job now. Reload to see its progress."
    ),
    "JOB_WORKER_LOST": Sentence(
        "处理该任务的进程意外中断，任务会由其他进程接着完成。",
        "The process that worked on the job broke off; another one goes on with it.",
    ),
    "JOB_QUARANTINED": Sentence(
        "该任务多次导致处理进程中断，已停止并等待人工检查，积分已退回。",
        "The job broke off its workers several times and was stopped for us to look at; your credits are back.",
    ),
    "JOB_ATTEMPTS_EXHAUSTED": Sentence(
        "多次尝试都没有成功，积分已退回，请稍后重试。",
        "Several attempts failed; your credits are back. Try again later.",
    ),
    "JOB_NOT_DEAD": Sentence(
        "该任务不在死信列表中，请刷新列表。", "The job is not among the dead letters. Reload the list."
    ),
    "HOLD_CLOSED": Sentence("该笔预扣已经结束，请刷新余额。", "The hold is closed. Reload your balance."),
    "LYRICS_UNAVAILABLE": Sentence(
        "暂时写不出歌词，积分已退回，请稍后重试。",
        "The words could not be written just now; your credits are back. Try again later.",
    ),
    "CONTENT_REJECTED": Sentence(
        "内容不符合规范，没有扣除积分。请修改后再试；如有异议，可以申诉。",
        "The rules for content do not allow this, and it has cost nothing. Change it and try again, or appeal.",
    ),
    "CONTENT_IN_REVIEW": Sentence(
        "内容需要人工复核，通过后才能展示给他人；你自己仍可查看。",
        "A person has to look at this before others may see it; you can see it meanwhile.",
    ),
    "LYRICS_REFUSED": Sentence(
        "这个主题不能写成歌词，积分已退回，请换一个主题。",
        "No words can be written about this; your credits are back. Choose another theme.",
    ),
    "EVENTS_GONE": Sentence(
        "较早的进度记录已清理，请从头重新读取。",
        "Older lines of the log are gone. Read it from the start again.",
    ),
    "WEBHOOK_LIMIT_REACHED": Sentence(
        "回调地址数量已达上限[：最多 {limit} 个]，请先删除一个。",
        "You have as many webhooks as allowed[: {limit}]. Delete one first.",
    ),
    "WEBHOOK_URL_REFUSED": Sentence(
        "该回调地址不可用，请填写公网 https 地址。",
        "Events cannot be sent to this address. Use an https address on the public Internet.",
    ),
    "WEBHOOK_PAUSED": Sentence("该回调已暂停，请先恢复再试。", "The webhook is paused. Let it go on first."),
    "WEBHOOK_DELIVERY_PENDING": Sentence(
        "该事件仍在投递中，请稍后再试。", "The event is still on its way. Wait until the delivery has ended."
    ),
    "CREDITS_HELD": Sentence(
        "积分足够，但正被其他任务预扣[：需要 {needed}，可用 {available}，预扣 {held}]，请等待其完成或取消后再试。",
        "You have the credits, but other jobs hold them[: {needed} needed, {available} available, {held} held]. "
        "Wait for one to finish, or cancel it.",
    ),
    "WALLET_FROZEN": Sentence(
        "钱包已被冻结[：{freeze_reason}]。如有疑问，请联系我们。",
        "The wallet is frozen[: {freeze_reason}]. Contact us if you think it should not be.",
    ),
    "PRICE_CHANGED": Sentence(
        "价格已变化[：现为 {amount} 积分]，请确认后重试。",
        "The price has changed[: it is {amount} credits now]. Confirm it and try again.",
    ),
    "SHARE_NOT_FOUND": Sentence("没有找到该分享，请检查链接。", "No share has this code. Check the link."),
    "SHARE_REVOKED": Sentence(
        "该分享已被撤回，请向分享者索取新链接。", "This share was called back. Ask whoever sent it for a new link."
    ),
    "SHARE_EXPIRED": Sentence(
        "该分享已过期，请向分享者索取新链接。", "The time of this share is over. Ask whoever sent it for a new link."
    ),
    "SHARE_PASSWORD_REQUIRED": Sentence("查看该分享需要密码。", "This share is opened with a password."),
    "SHARE_PASSWORD_WRONG": Sentence(
        "密码不正确，请向分享者确认。", "That is not the password. Ask whoever sent the link."
    ),
    "SHARE_NOT_ALLOWED": Sentence(
        "歌曲完成后才能分享，请稍后再试。", "The track can be shared once it is ready. Try again then."
    ),
}
