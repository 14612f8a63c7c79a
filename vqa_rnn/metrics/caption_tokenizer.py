"""The tokenisation of captions in the official evaluation of COCO (Chen et al. 2015, https://arxiv.org/abs/1504.00325).

The official code runs the Java program PTBTokenizer (Stanford CoreNLP 3.4.1) with ``-lowerCase`` and then drops a list of
punctuation marks. This module does the same in Python. It was written from the observed output of that program, not from its
source. At each place the longest match of all patterns is the token, and the first pattern counts where several are equally
long. What a pattern only looks at, such as the ``n't`` behind ``do``, adds to its length but not to the token.

Deviations: the official program reads all captions as one text, so that the beginning of a caption sometimes decides how the
end of the one before is split, and line separators other than a newline shift all captions behind them. Here each caption is
tokenised alone, and such separators are spaces. Characters of newer Unicode versions and rare mixtures of signs may be split
differently.
"""

import re
from collections.abc import Iterator

# The list of the official evaluation. Brackets are never dropped: they are in lower case by then.
PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)

# Abbreviations that keep their full stop, as all single letters do: in lower case, capitals or with a capital first; not in
# capitals; not in lower case; before a digit alone.
_ANY_CASE = """
    adj adm adv al ala alex apr ariz assn asst assoc atty aug ave bancorp bhd bldg blvd brig bros calif capt cf cie cmdr
    co col colo conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga gen gov govs hon
    inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mich minn mlle mme mo mon mont
    mr mrs ms msgr mt natl neb nev nov oct okla penn pfc ph plc pres prof profs pvt rd rep reps rev rt sen sens sep sept
    seq sfc sgt spc sq sr st ste supt sys tel tenn thu thurs treas tue tues univ va vs vt wed wis wisc wm wyo
"""
_NOT_UPPER = "mfg mtg ppte ppty pptys pte ptes pty ptys"
_NOT_LOWER = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
_BEFORE_DIGIT = "art ca fig figs no nos op pp prop"
# Before one of these words, a single letter ends a sentence and loses its full stop.
_STARTS = """
    the in a that he as it at an but this they their one after we more about when there she other her last some you if
    so what since many while now such then these our here according however earlier once yet additionally
"""


def _forms(words: str, *, lower: bool = True, upper: bool = True) -> str:
    """Return a pattern for words with a capital first, in lower case and in capitals."""
    forms = [form for word in words.split() for form in (word.lower() * lower, word.capitalize(), word.upper() * upper)]
    return "|".join(sorted(filter(None, forms), key=len, reverse=True))


# Character classes. Letters are those of Unicode, and marks that Python does not count among them. A symbol is a token. What is
# in no class is dropped.
_OTHER_NUMBERS = "²³¹¼½¾⁰⁴-⁹₀-₉⅐-⅞①-⓿❶-➓"
_MARKS = (
    r"\u02c2-\u02c5\u02d2-\u02df\u02e5-\u036f\u0483-\u0487\u0591-\u05bd\u0615-\u061a\u064b-\u065e\u06d6-\u06ed\u0900-\u0e4e\xad"
)
_SYMBOLS = (
    r"$%&*+/<=>@\\^|~¡¥-©¬®-±´¶-¸¿×÷‖‗‚„-•‰-‸※-⁂⁺-⁾₊-₎₤℀-⅏←-⑟─-❵➔-⯿、。〒・！-／：-＠［-｀｛-･￠￡￥￦()\[\]{}#_،؛؟।॥฿"
    + _OTHER_NUMBERS
)
_L = rf"(?:[^\W\d_{_OTHER_NUMBERS}]|[{_MARKS}])"  # a letter
_X = rf"(?:[^\W_{_OTHER_NUMBERS}]|[{_MARKS}])"  # a letter or digit
_A = "['’\u0092]"  # an apostrophe
_H = "[-_\u058a\u2010\u2011]"  # a hyphen inside a word
_ENDING = r"(?:[sSdDmM]|[rR][eE]|[vV][eE]|[lL][lL])"  # of he's, he'd, I'm, they're, I've, he'll

_ABBREVIATION = (
    rf"(?:{_forms(_ANY_CASE)}|{_forms(_NOT_UPPER, upper=False)}|{_forms(_NOT_LOWER, lower=False)}"
    rf"|[Pp][Hh]\.[Dd]|{_L}(?:\.{_L})+|[A-Za-z])\."
)
_WORD = rf"{_L}{_X}*(?:[.!?]{_L}{_X}*)*"  # Mr.Smith, what?No
_PART = rf"(?:[dDoOlL]{_A}{_X})?{_X}+"
_IN_ADDRESS = r"[^\s\"<>|(){}]*[^\s\"<>|(){}.!?,;:'\-]"

_NAME = r"[A-Za-z][\w.:\-]*"
_TAG = re.compile(
    rf"<{_NAME}(?: +{_NAME}(?: *= *(?:\"[^\"<>]*\"|'[^'<>]*'))?)* */?>|</{_NAME} *>"
    r"|<[!?][A-Za-z][^<>]*>|<!--[^<>]*-->|<[^\s\"<>|()@]+@[^\s\"<>|()@]+>"
)

# A group marks the token, where the pattern also looks at what follows and this counts for its length.
_PATTERNS = (
    # markup and addresses
    _TAG.pattern,
    rf"https?://{_IN_ADDRESS}",
    rf"www(?:\.[A-Za-z0-9\-]*[A-Za-z0-9])+(?:/{_IN_ADDRESS})?",
    r"[A-Za-z0-9][^\s\"<>|()]*@(?:[^\s\"<>|().]+\.)*[^\s\"<>|().]+",
    r"&(?:#\d+|[A-Za-z]acute|(?i:amp|lt|gt));",
    r"@[A-Za-z_]\w*",
    rf"#{_L}+",
    # numbers: telephone, fractions, years
    r"\(\d{3}\)[ \xa0]?\d{3}[- \xa0]?\d{4}",
    r"(?:\d{1,4}[- ])?\d{1,4}/\d{1,4}",
    r"[-+]?(?:\d*(?:[.:,]\d+)+|\d+)",
    rf"{_A}(?:\d\d(?!\S)|[2-9]0[sS])",
    # what stands before n't and 's
    r"([A-Za-z]*[A-MO-Za-mo-z])[nN]['’`][tT]",
    rf"({_L}+){_A}{_ENDING}(?!{_X})",
    # words
    _WORD,
    rf"{_X}+(?:-{_L}+){{,2}}(?:/{_X}+(?:-{_L}+){{,2}}){{1,2}}",
    rf"{_PART}(?:{_H}(?:(?:{_L}\.){{2,}}|{_PART}))*",
    rf"{_X}(?:{_X}|[.,])*(?:-(?:(?:{_L}\.){{2,}}|{_X}+))+",
    _ABBREVIATION,
    rf"({_L}+\.)[,:;]",
    rf"((?:{_forms(_BEFORE_DIGIT)})\.)\s*\d",
    rf"([A-Za-z])\. (?:{_forms(_STARTS, lower=False, upper=False)})(?!\S)",
    r"[A-Z]+(?:(?:&|&amp;|\+)[A-Z]+)+|[cC]\+\+|[cCfF]#|[A-Z]+\$",
    # words with an apostrophe
    rf"[dDoOlLnN]{_A}{_X}{{2,}}",
    rf"[A-HJ-XZ]{_A}{_L}{{2,}}",
    rf"[A-Za-z]+[aeiouyAEIOUY]{_A}[aeiouA-Z][A-Za-z]*",
    rf"(?i:quelqu|jusqu|qu){_A}{_L}+",
    rf"(?i:o{_A}o|c{_A}mon|c{_A}est|s{_A}mores|e{_A}er|ne{_A}er|li{_A}l|nat{_A}l|ev{_A}ry|cap{_A}n|nor{_A}easter|cont{_A}d\.)",
    rf"{_A}[nN]{_A}|{_A}n(?!{_L})|[lLdDjJ]{_A}|([yY]{_A}){_L}",
    rf"(?i:dunkin|somethin|ol){_A}|{_A}(?i:em|till?|cause)",
    rf"({_A}[tT])(?i:is|was)",
    r"[nN]['’`][tT]",
    rf"{_A}{_ENDING}(?!{_X})|[’\x92](?:{_ENDING}|n)",
    # faces
    r"[<>]?[:;=][-o*']?[()DPdpO@{|\\\[\]](?![A-Za-z0-9])|:[03](?![A-Za-z0-9])",
    r"\^_\^|[oO]_[oO]|-_-",
    # punctuation
    r"\.(?: ?\.){2,}|…",
    r"-{5,}|-{2,4}|[–—―\x96\x97-]",
    r"[!?]+",
    r"''|``|['`\"]|[’‘‛“”«»‹›\u0091-\u0094]+",
    r"__+|##+|@@+|\*\*+|<<|>>",
    rf"[.,:;¢£€¤₠\x80{_SYMBOLS}]",
)
_RULES = tuple(re.compile(pattern) for pattern in _PATTERNS)

_SPLIT = {"cannot": "can not", "gonna": "gon na", "gotta": "got ta", "wanna": "wan na", "lemme": "lem me", "gimme": "gim me"}
_ALONE = {"&amp;": "&", "&lt;": "<", "&gt;": ">", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_WRITTEN = str.maketrans(
    {
        **{"(": "-lrb-", ")": "-rrb-", " ": "\xa0", "\xad": None},
        **{"…": "...", '"': "''", "¢": "cents", "£": "#", "¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"},
        **dict.fromkeys("–—―\x96\x97", "--"),
        **dict.fromkeys("€¤₠\x80", "$"),
        **dict.fromkeys("“«\x93", "``"),
        **dict.fromkeys("”»\x94", "''"),
    }
)
_QUOTES = str.maketrans({**dict.fromkeys("‘‛‹\x91", "`"), **dict.fromkeys("’›\x92", "'")})
_QUOTES_ALONE = re.compile(r"[‘‛‹\x91’›\x92`'“«\x93”»\x94]+|['’\x92](?:[sdmt]|re|ve|ll)|n['’\x92]t")
_DASHES = re.compile("-{2,4}")
_DOTS = re.compile(r"\.[. ]*\.")
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz")
_ABBREVIATED = frozenset(f"{_ANY_CASE} {_NOT_UPPER} {_NOT_LOWER}".lower().split()) | _LETTERS
_EASY = re.compile(r"([A-Za-z ]*)[.?]?")
_PLAIN = re.compile(r"[A-Za-z]+(?=[,;]?(?: |$))")


def tokenize_caption(text: str) -> list[str]:
    """Split a caption into words as the official evaluation does: in lower case and without most punctuation.

    For example, ``A man's T-shirt (red), isn't it?`` becomes ``a man 's t-shirt -lrb- red -rrb- is n't it``.

    Args:
        text: A caption.

    Returns:
        Its tokens, none of them empty. As in the official code, brackets become words such as ``-lrb-``, marks such as ``!!``
        and ``?!`` stay, and a fraction such as ``1 1/2`` is one token with a non-breaking space.
    """
    easy = _EASY.fullmatch(text)
    if easy:  # letters and a full stop need no rules, unless a word is split or the last one is an abbreviation
        words = easy[1].lower().split()
        if words and words[-1] not in _ABBREVIATED and _SPLIT.keys().isdisjoint(words):
            return words
    return [token for token in _tokens(text) if token not in PUNCTUATION]


def _tokens(text: str) -> Iterator[str]:
    """Yield the tokens of a caption as PTBTokenizer prints them."""
    text = text.replace("&apos;", "'").replace("&quot;", '"').replace("&nbsp;", " ").replace("&mdash;", "—")
    text = " ".join(text.split())
    place = 0
    while place < len(text):
        plain = _PLAIN.match(text, place)
        if plain:
            place = plain.end()
            token = plain[0].lower()
            yield from _SPLIT[token].split() if token in _SPLIT else (token,)
            continue
        if text[place] == " ":
            place += 1
            continue
        longest, end = 0, place + 1
        for rule in _RULES:
            match = rule.match(text, place)
            if match and match.end() - place > longest:
                longest, end = match.end() - place, match.end(match.lastindex or 0)
        if longest:
            token = text[place:end].lower()
            if token in _SPLIT and longest == len(token):
                yield from _SPLIT[token].split()
            elif token in _ALONE:
                yield _ALONE[token]
            elif _TAG.fullmatch(token):
                yield token.replace(" ", "\xa0")
            else:
                token = "--" if _DASHES.fullmatch(token) else "..." if _DOTS.fullmatch(token) else token
                yield (token.translate(_QUOTES) if _QUOTES_ALONE.fullmatch(token) else token).translate(_WRITTEN)
        place = end
