"""Texts that lead a decoder elsewhere: playlists, concatenations, manifests, session descriptions, subtitles."""

from collections.abc import Iterator

from tests.media.hostile import REFUSED, Hostile, Lure

_SCRIPTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n",
    "crlf.m3u8": "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXTINF:2,\r\n{0}\r\n#EXT-X-ENDLIST\r\n",
    "bom.m3u": "\ufeff#EXTM3U\n#EXTINF:2,song\n{0}\n",
    "blank.m3u8": "\n \n#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:9,\n{0}\n",
    "master.m3u8": '#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="a",NAME="a",URI="{0}"\n'
    '#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO="a"\n{0}\n',
    "key.m3u8": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{0}"\n#EXTINF:2,\n{0}\n#EXT-X-ENDLIST\n',
    "map.m3u8": '#EXTM3U\n#EXT-X-MAP:URI="{0}"\n#EXTINF:2,\ndata:audio/mpeg;base64,SUQz\n#EXT-X-ENDLIST\n',
    "byterange.m3u8": "#EXTM3U\n#EXTINF:2,\n#EXT-X-BYTERANGE:100@0\n{0}\n#EXT-X-ENDLIST\n",
    "concat.m3u8": "#EXTM3U\n#EXTINF:2,\nconcat:{0}|{0}\n#EXT-X-ENDLIST\n",
    "crypto.m3u8": "#EXTM3U\n#EXTINF:2,\ncrypto:{0}\n#EXT-X-ENDLIST\n",
    "subfile.m3u8": "#EXTM3U\n#EXTINF:2,\nsubfile,,start,0,end,99,,:{0}\n#EXT-X-ENDLIST\n",
    "pipe.m3u8": "#EXTM3U\n#EXTINF:2,\npipe:0\n#EXT-X-ENDLIST\n{0}",
    "joined.ffconcat": "ffconcat version 1.0\nfile '{0}'\n",
    "timed.ffconcat": "ffconcat version 1.0\nfile '{0}'\ninpoint 0\noutpoint 1\nstream\nexact_stream_id 0x1\n",
    "options.ffconcat": "ffconcat version 1.0\nfile '{0}'\noption safe 0\noption protocol_whitelist file,http,tcp\n",
    "plain.concat": "file '{0}'\nfile '{0}'\n",
    "manifest.mpd": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period>'
    '<AdaptationSet mimeType="audio/mp4"><Representation id="1" bandwidth="1"><BaseURL>{0}</BaseURL>'
    '<SegmentList><Initialization sourceURL="{0}"/><SegmentURL media="{0}"/></SegmentList></Representation>'
    "</AdaptationSet></Period></MPD>",
    "session.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\n"
    "t=0 0\na=control:{0}\nm=audio 9 RTP/AVP 0\n",
    "list.pls": "[playlist]\nFile1={0}\nTitle1=x\nLength1=2\nNumberOfEntries=1\nVersion=2\n",
    "list.asx": '<asx version="3.0"><entry><ref href="{0}"/></entry></asx>',
    "list.xspf": '<?xml version="1.0"?><playlist version="1">'
    "<trackList><track><location>{0}</location></track></trackList></playlist>",
    "list.smil": '<smil><body><audio src="{0}"/></body></smil>',
    "entity.xml": '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "{0}">]><a>&b;</a>',
    "meta.ffmeta": ";FFMETADATA1\ntitle={0}\n[STREAM]\ntitle={0}\n",
    "graph.lavfi": "amovie='{0}'[out0];movie='{0}'[out1]",
    "frames.txt": "{0}%d.png\n{0}*.png\n",
    "sub.ass": "[Script Info]\nScriptType: v4.00+\n[Fonts]\nfontname: {0}\n"
    "[Events]\nDialogue: 0,0:00:00.00,0:00:02.00,,,0,0,0,,{0}\n",
    "sub.srt": "1\n00:00:00,000 --> 00:00:02,000\n<img src='{0}'>\n",
    "sub.vtt": "WEBVTT\n\nSTYLE\n::cue {{ background: url({0}) }}\n\n00:00.000 --> 00:02.000\nx\n",
    "page.html": '<html><audio src="{0}" autoplay></audio><script src="{0}"></script></html>',
    "call.php": "<?php readfile('{0}'); ?>",
    "lines.txt": "{0}\n" * 200,
}
_DISGUISES = {
    "id3": b"ID3\x04\x00\x00\x00\x00\x00\x00",
    "mpeg": b"\xff\xfb\x90\x64",
    "riff": b"RIFF\xff\xff\xff\xffWAVE",
    "ogg": b"OggS\x00\x02" + bytes(20),
    "flac": b"fLaC\x84\x00\x00\x08",
    "ftyp": b"\x00\x00\x00\x18ftypM4A \x00\x00\x02\x00M4A isom",
    "webm": b"\x1a\x45\xdf\xa3\x80",
    "amr": b"#!AMR\n",
    "caf": b"caff\x00\x01\x00\x00",
    "aiff": b"FORM\xff\xff\xff\xffAIFF",
    "png": b"\x89PNG\r\n\x1a\n",
    "gif": b"GIF89a",
    "jpeg": b"\xff\xd8\xff\xe0",
}
_DISGUISED = ("list.m3u8", "joined.ffconcat", "manifest.mpd", "session.sdp")


def files(lure: Lure) -> Iterator[Hostile]:
    """Yield every text to both lures, under its own name and a sound's, and some behind the first bytes of others."""
    for name, text in _SCRIPTS.items():
        for way, target in (("file", lure.path), ("http", lure.address)):
            yield Hostile(f"{way}-{name}", text.format(target).encode(), REFUSED)
    for way, target in (("file", lure.path), ("http", lure.address)):
        for name in _DISGUISED:
            script = _SCRIPTS[name].format(target).encode()
            # Some begin a header that says how long it is, so the text lies beyond what can be decoded.
            for disguise, head in _DISGUISES.items():
                yield Hostile(f"{way}-{disguise}-{name}.mp3", head + script, REFUSED)
    sound_types = ("audio/mpeg", "audio/x-mpegurl", "video/mp4", "image/png")
    script = _SCRIPTS["list.m3u8"].format(lure.path).encode()
    yield from (Hostile(f"typed-{kind.replace('/', '-')}.wav", script, REFUSED, kind) for kind in sound_types)
