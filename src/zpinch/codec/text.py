"""Which characters a terminal may be shown, whoever wrote them."""

import unicodedata

TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")  # write gnp.exe as exe.png
# Control codes, line and paragraph separators, halves of characters. All that scripts and emoji are written with stays.
CATEGORIES = frozenset({"Cc", "Zl", "Zp", "Cs"})


def can_be_shown(text: str) -> bool:
    """Whether no character steers the terminal.

    >>> can_be_shown("\u3042\u3000\u3044"), can_be_shown("\\x1b[2J"), can_be_shown("\\u202egnp.exe")
    (True, False, False)
    """
    if text.isprintable():  # nearly always
        return True
    return all(char not in TURNING and unicodedata.category(char) not in CATEGORIES for char in text)
