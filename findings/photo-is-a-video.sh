#!/usr/bin/env bash
# A photo in HEIC and a sound in M4A are called MP4 videos by their length.
#
# One expects: a library that tells files by their first bytes reads the name of the format, ftypheic or "ftypM4A ".
# What happens: puremagic takes a first box of 28 bytes (00 00 00 1C ftyp) for "MPEG-4 video", and here that rule comes
#   before the one that reads the name. The box has 28 bytes if it lists three compatible formats, as in photos written
#   by libheif and in sounds written by FFmpeg. With one format less or more, puremagic is right about the same photo.
#   A video with a name that it does not know (avc1) is "3gp" if one format is listed, not found if two are, and MP4 if
#   three are. npm's file-type and PyPI's filetype are right about photo and sound.
# Versions: PyPI puremagic 1.30, filetype 1.2.0, pillow-heif 1.8.1 (writes the photo), av 18.1.0 (writes the sound);
#   npm file-type 22.3.0.
# Seen: the table below; "box" is the length of the first box. The lines "photo, 2" to "photo, 4" are the same photo
#   with that many formats listed; "avc1, 1" to "avc1, 3" are only the beginning of a video.
# Why it matters: a form that takes images refuses some photos, and one that takes videos keeps them, depending on
#   which program wrote the file. puremagic gives its answer with the confidence 0.8.
#
# Needs python3 and node.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

npm install --silent --no-audit --no-fund --ignore-scripts file-type@22.3.0 >npm.log &
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile \
  puremagic==1.30 filetype==1.2.0 pillow-heif==1.8.1 av==18.1.0
wait $!

cat >look.py <<'PY'
import io
import json

import av
import filetype
import puremagic
from PIL import Image
from pillow_heif import register_heif_opener

register_heif_opener()


def photo():
    stream = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(stream, "HEIF")
    return stream.getvalue()


def sound():
    stream = io.BytesIO()
    with av.open(stream, "w", format="ipod") as file:
        track = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame(format="fltp", layout="stereo", samples=1024)
        frame.rate = 44100
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return stream.getvalue()


def box(major, *names):
    content = b"ftyp" + major + bytes(4) + b"".join(names)
    return (len(content) + 4).to_bytes(4, "big") + content


picture = photo()
files = {"photo by libheif": picture, "sound by FFmpeg": sound()}
names = (b"mif1", b"heic", b"miaf", b"MiHB")
for count in (2, 3, 4):
    files[f"photo, {count}"] = box(b"heic", *names[:count]) + picture[picture[3] :]
for count in (1, 2, 3):
    files[f"avc1, {count}"] = box(b"avc1", *(b"avc1", b"isom", b"mp42")[:count]) + box(b"free") + bytes(100)

for number, (name, content) in enumerate(files.items()):
    open(str(number), "wb").write(content)
    try:
        found = puremagic.magic_string(content)[0]
        told = f"{found.extension} {found.confidence}"
    except puremagic.PureError:
        told = "not found"
    other = filetype.guess(content)
    print(f"{name:16} box {content[3]}  puremagic: {told:10} filetype: {other.mime if other else 'not found'}")
json.dump(list(files), open("names.json", "w"))
PY

cat >look.mjs <<'JS'
import { readFileSync } from "node:fs";
import { fileTypeFromBuffer } from "file-type";

for (const [number, name] of JSON.parse(readFileSync("names.json", "utf8")).entries()) {
  const found = await fileTypeFromBuffer(readFileSync(String(number)));
  console.log(`${name.padEnd(16)} file-type: ${found?.mime ?? "not found"}`);
}
JS

cat >expected <<'TXT'
photo by libheif box 28  puremagic: .mp4 0.8   filetype: image/heic
sound by FFmpeg  box 28  puremagic: .mp4 0.8   filetype: audio/mp4
photo, 2         box 24  puremagic: .heif 0.8  filetype: image/heic
photo, 3         box 28  puremagic: .mp4 0.8   filetype: image/heic
photo, 4         box 32  puremagic: .heif 0.8  filetype: image/heic
avc1, 1          box 20  puremagic: .3gp 0.8   filetype: not found
avc1, 2          box 24  puremagic: not found  filetype: video/mp4
avc1, 3          box 28  puremagic: .mp4 0.8   filetype: video/mp4
photo by libheif file-type: image/heic
sound by FFmpeg  file-type: audio/x-m4a
photo, 2         file-type: image/heic
photo, 3         file-type: image/heic
photo, 4         file-type: image/heic
avc1, 1          file-type: video/mp4
avc1, 2          file-type: video/mp4
avc1, 3          file-type: video/mp4
TXT

{ venv/bin/python look.py && node look.mjs; } 2>log | tee seen
diff expected seen
echo "As stated."
