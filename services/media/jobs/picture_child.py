"""Make the sizes of one picture with Pillow and print what was made as JSON; run in a cage, never imported.

A stranger's file meets its decoder here and not in the server. Only the decoder that its first bytes asked
for is there; the dimensions are looked at before a pixel is decoded; of the file nothing but pixels goes on.
"""

import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont, ImageOps, PngImagePlugin

# A hundredth of Pillow's own bounds: what is packed into text beside the pixels is thrown away anyway.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 1024 * 1024
# Ours is checked first, with an answer of its own.
Image.MAX_IMAGE_PIXELS = None

_QUALITY = 85
_HUGE, _BROKEN = 3, 1


def _upright(path: Path, wish: dict[str, Any]) -> Image.Image:
    """Return the picture upright, cropped, in plain colours; exits for one that is too large or crops nothing."""
    with Image.open(path, formats=[wish["format"]]) as opened:
        if opened.width * opened.height > wish["most_pixels"]:
            sys.exit(_HUGE)
        # A picture far larger than wanted is decoded at a half, a quarter or an eighth of its size where that exists.
        if not wish["cropped"]:
            opened.draft("RGB", (wish["longest_px"], wish["longest_px"]))
        opened.load()
        image = ImageOps.exif_transpose(opened)
    clear = image.mode in {"RGBA", "LA", "PA", "RGBa", "La"} or "transparency" in image.info
    image = image.convert("RGBA" if clear else "RGB")
    left, top = wish["x_px"], wish["y_px"]
    right = min(left + wish["width_px"], image.width) if wish["width_px"] else image.width
    bottom = min(top + wish["height_px"], image.height) if wish["height_px"] else image.height
    if left >= right or top >= bottom:
        sys.exit("the part to keep lies outside of the picture")
    return image.crop((left, top, right, bottom))


def _marked(image: Image.Image, text: str) -> Image.Image:
    """Return the picture with the words in its lower right corner, light with a dark edge."""
    size = max(image.height // 24, 10)
    font = ImageFont.load_default(size)
    layer = Image.new("RGBA", image.size)
    at = (image.width - size // 2, image.height - size // 2)
    edge = max(size // 12, 1)
    ImageDraw.Draw(layer).text(
        at, text, font=font, anchor="rd", fill=(255, 255, 255, 200), stroke_width=edge, stroke_fill=(0, 0, 0, 140)
    )
    return Image.alpha_composite(image.convert("RGBA"), layer).convert(image.mode)


def _saved(image: Image.Image, folder: Path, name: str, longest_px: int) -> dict[str, Any]:
    """Write one size of the picture and return what it is; a picture that is smaller stays as it is."""
    small = image.copy()
    small.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS)
    # A new picture has nothing of what stood beside the old one's pixels.
    clean = Image.new(small.mode, small.size)
    clean.paste(small)
    form = "PNG" if clean.mode == "RGBA" else "JPEG"
    target = folder / f"made-{name or 'whole'}"
    options: dict[str, Any] = {"quality": _QUALITY, "progressive": True} if form == "JPEG" else {}
    clean.save(target, form, optimize=True, **options)
    return {"name": name, "file": target.name, "format": form, "width_px": clean.width, "height_px": clean.height}


def main() -> None:
    """Print what was made; end with 3 for a picture that is too large and with 1 for one that makes no sense."""
    wish = json.loads(sys.argv[1])
    source = Path(wish["source"])
    try:
        image = _upright(source, wish)
        if wish["watermark"]:
            image = _marked(image, wish["watermark"])
        made = [_saved(image, source.parent, name, longest) for name, longest in wish["sizes"].items()]
    except Exception as error:  # noqa: BLE001  # decoders raise everything there is for files that make no sense
        sys.stderr.write(f"{type(error).__name__}: {error}")
        sys.exit(_BROKEN)
    sys.stdout.write(json.dumps(made))


if __name__ == "__main__":
    main()
