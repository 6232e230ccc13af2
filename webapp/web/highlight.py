"""Colours code samples on the server, with simple patterns. All of the code is escaped, even if a pattern is wrong."""

import re
from functools import lru_cache

from markupsafe import Markup, escape

STRING = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"
NUMBER = r"\b[0-9][0-9_]*(?:\.[0-9]+)?\b"
C_COMMENT = r"//[^\n]*|/\*.*?\*/"
WORDS = {
    "python": "and as class def else except finally for from if import in is lambda None not or pass raise return try "
    "True False with while",
    "node": "async await catch class const else export extends for from function if import let new null of return "
    "super this throw try true false",
    "go": "break case const defer else error for func if import map nil package range return string struct switch true "
    "false type var",
    "java": "abstract boolean byte catch class else extends final for if implements import int long new null package "
    "private public return static super synchronized this throw throws true false try void",
    "ruby": "begin class def do end else false if lambda nil raise require rescue return self super true unless",
    "shell": "case do done elif else esac exec exit export fi for if in return set then trap while",
    "php": "abs array catch class const declare echo extends final foreach function if int null return static string "
    "throw true false try void as new",
}


def _pattern(comment: str, words: str, string: str = STRING) -> re.Pattern[str]:
    word = rf"(?<![.$])\b(?:{'|'.join(words.split())})\b"
    return re.compile(rf"(?P<c>{comment})|(?P<s>{string})|(?P<k>{word})|(?P<n>{NUMBER})", re.DOTALL)


PATTERNS = {
    "python": _pattern(r"#[^\n]*", WORDS["python"], r'""".*?"""|' + STRING),
    "node": _pattern(C_COMMENT, WORDS["node"]),
    "php": _pattern(r"<\?php|" + C_COMMENT, WORDS["php"]),
    "go": _pattern(C_COMMENT, WORDS["go"]),
    "java": _pattern(C_COMMENT, WORDS["java"]),
    "ruby": _pattern(r"#(?!\{)[^\n]*", WORDS["ruby"]),
    # In a shell, # begins a comment only at the beginning of a word, and strings may have several lines.
    "shell": _pattern(r"(?<!\S)#[^\n]*", WORDS["shell"], r"\"(?:\\.|[^\"\\])*\"|'[^']*'"),
    "json": re.compile(
        rf'(?P<k>"(?:\\.|[^"\\\n])*")(?=\s*:)|(?P<s>"(?:\\.|[^"\\\n])*")|(?P<n>\b(?:true|false|null)\b|-?{NUMBER})'
    ),
    "http": re.compile(r"^(?P<k>[A-Za-z-]+)(?=: )|^(?P<n>POST)", re.MULTILINE),
}


@lru_cache(500)  # pages show the same samples to everybody, and colouring them took most of such a page's time
def coloured(code: str, language: str) -> Markup:
    """`code` as safe HTML, its tokens in spans of the classes k, s, n and c. KeyError for an unknown language."""
    parts, at = [], 0
    for token in PATTERNS[language].finditer(code):
        parts.append(escape(code[at : token.start()]))
        parts.append(Markup('<span class="{}">{}</span>').format(token.lastgroup, token.group()))
        at = token.end()
    return Markup("").join([*parts, escape(code[at:])])
