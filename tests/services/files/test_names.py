"""Names and sizes of files, as people read them."""

import pytest

from webapp.services.files.names import LONGEST, cleaned, size_words


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("cv.pdf", "cv.pdf"),
        ("C:\\Users\\ada\\cv.pdf", "cv.pdf"),
        ("\\\\server\\share\\cv.pdf", "cv.pdf"),
        ("../../../etc/passwd", "passwd"),
        ("a/b\\c.pdf", "c.pdf"),
        ("..", "file"),
        ("", "file"),
        ("/", "file"),
        ("\0\x1b[31m.pdf", "[31m.pdf"),
        ("one\r\ntwo.pdf", "onetwo.pdf"),
        ("gpj\u202eexe.jpg", "gpjexe.jpg"),
        ("\ud83d.pdf", "\ufffd.pdf"),
        (".htaccess", "htaccess"),
        ("Ω ≈ ç √.txt", "Ω ≈ ç √.txt"),
        ("שלום.pdf", "שלום.pdf"),
        ("nul.pdf ", "nul.pdf"),
    ],
)
def test_a_name_is_one_line_without_a_path_and_without_what_turns_text_around(sent: str, kept: str) -> None:
    assert cleaned(sent) == kept


@pytest.mark.parametrize("ending", ["", ".pdf", "." + "e" * 300])
def test_a_long_name_is_cut_and_keeps_its_ending(ending: str) -> None:
    kept = cleaned("n" * 5000 + ending)
    assert len(kept) == LONGEST
    assert kept.endswith(ending) or len(ending) > LONGEST


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 KB"),
        (120_400, "120 KB"),
        (999_499, "999 KB"),
        (999_500, "1 MB"),
        (1_048_577, "1 MB"),
        (1_500_000, "1.5 MB"),
        (10_000_000, "10 MB"),
    ],
)
def test_a_size_in_words(size: int, words: str) -> None:
    assert size_words(size) == words


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (1, "1 byte"),
        (999, "999 bytes"),
        (1001, "2 KB"),
        (120_400, "121 KB"),
        (999_001, "1 MB"),
        (1_000_000, "1 MB"),
        (1_048_577, "1.1 MB"),
        (10_485_761, "10.5 MB"),
        (52_428_801, "52.5 MB"),
    ],
)
def test_a_size_beyond_a_limit_is_rounded_up(size: int, words: str) -> None:
    assert size_words(size, up=True) == words
