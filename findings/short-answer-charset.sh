#!/usr/bin/env bash
# A short text in windows-1252 is read as another language, although windows-1252 fits as well.
#
# One expects: a detector that finds no difference between two encodings prefers the one that is used most.
# What happens: charset-normalizer takes the first one by name. "Não encontrado: ação inválida" is read as cp1250
#   ("Năo ... açăo"), "Téléphone non valide" as big5, with a Chinese character in it. chardet reads both right, as
#   ISO-8859-1. Where the letters are the same in both encodings, as in German and Spanish, the guess does no harm.
# Versions: PyPI charset-normalizer 3.5.2, chardet 5.2.0.
# Seen: the lines below.
# Why it matters: a receiver's error is one short line, often without a charset. requests' Response.text asks this
#   detector, so the log of a webhook shows letters of another language, and no one notices that they are wrong.
#
# Needs python3.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check --no-compile charset-normalizer==3.5.2 chardet==5.2.0

cat >look.py <<'PY'
import chardet
from charset_normalizer import from_bytes

for text in ("Não encontrado: ação inválida", "Téléphone non valide", "Ungültige Telefonnummer", "Dirección no válida"):
    sent = text.encode("cp1252")
    best = from_bytes(sent).best()
    guess = chardet.detect(sent)["encoding"]
    other = sent.decode(guess, "replace") if guess else None
    print(f"{text} | charset-normalizer: {best.encoding if best else None} {str(best) if best else ''} | chardet: {guess} {other}")
PY
cat >expected <<'TXT'
Não encontrado: ação inválida | charset-normalizer: cp1250 Năo encontrado: açăo inválida | chardet: ISO-8859-1 Não encontrado: ação inválida
Téléphone non valide | charset-normalizer: big5 T幨廧hone non valide | chardet: ISO-8859-1 Téléphone non valide
Ungültige Telefonnummer | charset-normalizer: cp1250 Ungültige Telefonnummer | chardet: ISO-8859-1 Ungültige Telefonnummer
Dirección no válida | charset-normalizer: cp1250 Dirección no válida | chardet: ISO-8859-1 Dirección no válida
TXT
venv/bin/python look.py | tee seen
diff expected seen
echo "As stated."
