"""Make the colour data set of the benches: 3,900 emoji of 32x32, drawn by people, from a package anyone can get.

    apt-get install fonts-noto-color-emoji        (or: apt-get download, then dpkg -x)
    python bench/make_colour.py OUT [--side 64] [--font NotoColorEmoji.ttf]

The font (Google's, SIL Open Font License 1.1) holds a PNG of 136x128 for each emoji. Each goes onto white, is centred
on a square, scaled to 32x32 (or `--side`) and saved as OUT/train/NAME.png or OUT/test/NAME.png, where NAME is its code
points. All skin tones and genders of an emoji are on the same side, else the test split would hold near copies of the
training split. A font of another version makes another set: the SHA-256 that is printed says which.
"""

import argparse
import hashlib
import io
from pathlib import Path

from fontTools.ttLib import TTFont
from PIL import Image

FONT = "/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf"
# Of all pixels by split and name, from Debian 12's font.
SHA256 = {
    32: "78383f1b4f2d8e49e2dc60c860f481afa413ed57424af3745721b4fec71151df",
    64: "f8065f1aebd91e426a2d7b65ce1f270d041b0fd81e8547c99bfa4c53d56325ea",
}
TEST = 1_000  # images at least
LIGATURES = 4  # type of the lookups that make one glyph of several characters
SKIN_TONES = set(range(0x1F3FB, 0x1F400))
GENDERS = {0x2640, 0x2642}
PERSON = 0x1F9D1
PEOPLE = {*range(0x1F466, 0x1F46E), PERSON, 0x1F9D2, 0x1F91D}  # boy to couple, person, child, joined hands
JOINERS = {0x200D, 0xFE0F}

Sequence = tuple[int, ...]


def sequences(font: TTFont) -> dict[str, Sequence]:
    """The code points that each glyph stands for."""
    found: dict[str, Sequence] = {glyph: (code,) for code, glyph in font.getBestCmap().items()}
    for lookup in font["GSUB"].table.LookupList.Lookup:
        if lookup.LookupType != LIGATURES:
            continue
        for table in lookup.SubTable:
            for first, ligatures in table.ligatures.items():
                for ligature in ligatures:
                    parts = [first, *ligature.Component]
                    if all(part in found for part in parts):
                        found.setdefault(ligature.LigGlyph, tuple(c for part in parts for c in found[part]))
    return found


def kin(sequence: Sequence) -> Sequence:
    """What an emoji is called once skin tone and gender are taken away: the same for all that look alike."""
    plain = (code for code in sequence if code not in SKIN_TONES | GENDERS | JOINERS)
    return tuple(sorted({PERSON if code in PEOPLE else code for code in plain}))


def drawn(png: bytes, shown: int) -> Image.Image:
    picture = Image.open(io.BytesIO(png)).convert("RGBA")
    side = max(picture.size)
    square = Image.new("RGBA", (side, side), "white")
    square.alpha_composite(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return square.convert("RGB").resize((shown, shown), Image.Resampling.LANCZOS)


def split_by_kin(names: dict[str, Sequence]) -> dict[str, list[str]]:
    """Names by split. Families go to the test split in the order of a hash, whole, until it is large enough."""
    families: dict[Sequence, list[str]] = {}
    for name, sequence in sorted(names.items()):
        families.setdefault(kin(sequence), []).append(name)
    split: dict[str, list[str]] = {"train": [], "test": []}
    for family in sorted(families, key=lambda codes: hashlib.sha256(repr(codes).encode()).digest()):
        split["test" if len(split["test"]) < TEST else "train"] += families[family]
    return {side: sorted(chosen) for side, chosen in split.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the colour data set of the benches.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--side", type=int, default=32)
    parser.add_argument("--font", default=FONT)
    asked = parser.parse_args()
    out, font = asked.out, TTFont(asked.font)
    known = sequences(font)
    bitmaps = font["CBDT"].strikeData[0]
    pictures = {glyph: bitmap.imageData for glyph, bitmap in bitmaps.items() if glyph in known}
    names = {"-".join(f"{code:x}" for code in known[glyph]): glyph for glyph in pictures}
    split = split_by_kin({name: known[glyph] for name, glyph in names.items()})
    digest = hashlib.sha256()
    for side, chosen in split.items():
        (out / side).mkdir(parents=True)
        for name in chosen:
            image = drawn(pictures[names[name]], asked.side)
            digest.update(f"{side}/{name}\n".encode() + image.tobytes())
            image.save(out / side / f"{name}.png")
    same = (
        "as measured"
        if digest.hexdigest() == SHA256.get(asked.side)
        else "another font or Pillow than ours: another set"
    )
    print(f"{out}: {len(split['train']):,} to train, {len(split['test']):,} to test; {digest.hexdigest()} ({same})")


if __name__ == "__main__":
    main()
