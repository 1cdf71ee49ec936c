#!/usr/bin/env python3
"""Records what the reference tokenizer implementation makes of many strings, for model/tokenizer/reference_test.cc.

Needs Python 3.11 or later and the package `tokenizers` (recorded with 0.23.3):

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers==0.23.3
    /tmp/venv/bin/python tools/record_tokenizer_data.py

Run it from the project's root. It trains a few small tokenizers on text that it makes itself, and writes to
tests/data/tokenizers (about 3 MB):

    strings.jsonl   10,000 strings, one JSON string a line: many scripts, emoji, unnormalized text, white space, control
                    characters, digits, texts of special tokens whole and in part, long runs
    NAME.json       a tokenizer.json (the demo model's stays in deploy/demo-model)
    NAME.rec        what NAME makes of every string; the format stands at write_recording() below
    variants.jsonl  changes to one of these tokenizers, each with its answers for some of the strings

All of it is drawn from a fixed seed. Characters come from Unicode 3.2 and a list of emoji, for on newer ones the Unicode
versions of the libraries involved disagree.
"""

import json
import os
import random
import re
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers, processors, trainers

OUT = "tests/data/tokenizers"
DEMO = "deploy/demo-model/tokenizer.json"
NUM_STRINGS = 10_000
NUM_ID_SEQUENCES = 500
NUM_VARIANT_STRINGS = 100

QWEN_REGEX = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
              r"|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3_REGEX = QWEN_REGEX.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
O200K_REGEX = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
               r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
               r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
POSSESSIVE_REGEX = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
                    r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s")

# ---------------------------------------------------------------------------------------------------------- strings

WORDS = """the of and to in is that it was for on are as with his they at be this from have or by one had not but what all
were when we there can an your which their said if do will each about how up out them then she many some so these would other
into has more her two like him see time could no make than first been its who now people my made over did down only way find
use may water long little very after words called just where most know code falcon amber tokenizer attention window memory
I'm don't can't we'll they've he'd it's YOU'RE SHE'LL naïve café résumé über straße Ångström coöperate mañana garçon
привет мир окно внимание память слово съешь ещё этих мягких французских булок καλημέρα κόσμε παράθυρο λέξη
שלום עולם حلول نافذة انتباه ذاكرة नमस्ते दुनिया खिड़की ध्यान สวัสดีชาวโลก หน้าต่าง ความจำ გამარჯობა სამყარო բարեւ աշխարհ
வணக்கம் உலகம் こんにちは 世界 窓 注意 記憶 東京 カタカナ ﾊﾝｶｸ 你好 世界 窗口 注意力 记忆 學習 안녕하세요 세계 창문 기억""".split()
EMOJI = ["😀", "😂", "❤️", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪", "🇯🇵", "1️⃣", "👨🏿‍🚀", "☃", "✈︎", "🤷‍♀️", "\u200d", "🏴󠁧󠁢󠁥󠁮󠁧󠁿"]
UNSTABLE = ["e\u0301", "A\u030a", "\u212b", "\u1e9b\u0323", "q\u0307\u0323", "\u1100\u1161\u11a8", "\uac00\u11a8", "\ufb01",
            "\u0958", "\u2126", "o\u0302\u0301", "\u0344", "ﬀ", "①", "㎏", "ｱ\uff9e", "\u00bd", "x\u0301\u0301\u0301", "\u0345", "Ǆ",
            "ſ", "K", "İ", "ß", "\u0149"]
SPACES = [" ", " ", " ", "  ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u2003", "\u3000", "\u180e", "\u200b", "\u2028", "\u0085", "\v",
          "\f", "\u1680", "\u202f", "\u205f", "\ufeff", "\x1c"]
CONTROLS = ["\0", "\x01", "\x07", "\x08", "\x1b", "\x7f", "\x80", "\x9f", "\u00ad", "\u200e", "\u202e", "\ue000", "\ufdd0", "\uffff",
            "\U0010ffff", "\ufffd", "\u0378"]
DIGITS = ["0", "1", "7", "42", "2024", "3.14", "1,000,000", "0x1F", "٣٤", "४२", "１２", "²", "½", "Ⅷ", "一二", "-5", "1e-9"]
CODE = ["def f(x):\n    return x**2\n", "if (a != b) { c += d; }", "#include <vector>", "https://a.b/c?d=e&f=%20", "</div>", "a_b.c->d",
        "\\n\\t", "$x = @{$y};", "/* ... */", "<!-- -->", "{}[]()", "!!!???...", "--flag=1", "`x`", "~^|&"]
SPECIALS = ["<|pad|>", "<|bos|>", "<|eos|>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool>", "Winnow",
            "<mask>", "<left>", "<right>", "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<word>", "Éclair"]
ODD = ["▁", "Ġ", "Ċ", "<0x0A>", "<0xE4>", "<0xZZ>", "▁▁", "Ã©", "'", "''", "'s", "'S", "'ſ", "'LL", "'ve'", "l'a", "<", "<|", "|>", "<<",
       "<|bos", "bos|>", "<|im_sta", "<th", "<s", "s>", "[INST", "</"]


def stable_codepoints():
    old = unicodedata.ucd_3_2_0
    return [chr(c) for c in range(0x110000)
            if not 0xD800 <= c <= 0xDFFF and old.category(chr(c)) != "Cn"
            and old.category(chr(c)) == unicodedata.category(chr(c))]


def make_strings(rng):
    codepoints = stable_codepoints()
    letters = [c for c in codepoints if unicodedata.category(c)[0] in "LNPSM"]
    low = [c for c in letters if ord(c) < 0x3000]

    def some(pool, most, joiner=""):
        return joiner.join(rng.choice(pool) for _ in range(rng.randint(1, most)))

    def special():
        token = rng.choice(SPECIALS)
        kind = rng.randrange(4)
        if kind == 0:  # a part
            i = rng.randrange(len(token))
            return token[:i] if rng.random() < 0.5 else token[i:]
        if kind == 1:
            return rng.choice(["", " ", "\n", "a", "é", "\u0301", "_"]) + token + rng.choice(["", " ", "  ", "\t", "b", "1", "\u0301"])
        return token

    kinds = [
        lambda: some(WORDS, 6, " "),
        lambda: some(WORDS, 3, rng.choice(["", " ", ", ", "-", "\n"])),
        lambda: some(EMOJI, 3),
        lambda: some(UNSTABLE, 4),
        lambda: some(SPACES, 6),
        lambda: some(CONTROLS, 3),
        lambda: some(DIGITS, 4, rng.choice(["", " "])),
        lambda: rng.choice(CODE),
        special,
        special,
        lambda: some(ODD, 3),
        lambda: some(codepoints, 5),
        lambda: some(low, 6),
        lambda: rng.choice(WORDS).upper() + rng.choice(["'s", "'T", "'ll", "'"]),
    ]
    strings = ["", " ", "a", "\n", "\0", "▁", "<|bos|>", "  ", "é", "e\u0301", "\u0301", "<s>", " <s> ", "<s><s>"]
    for unit in ["a", " ", "\n", "😀", "<", "ab", "1", "é", "e\u0301", "\u0301", "世", "<|bos|>", " a", "\r\n", "'s", "-", "▁", "\0"]:
        strings += [unit * n for n in (7, 64, 400 // len(unit.encode()))]
    while len(strings) < NUM_STRINGS:
        strings.append("".join(rng.choice(kinds)() for _ in range(rng.choice([1, 1, 2, 2, 3, 4]))))
    return strings


def make_corpus(rng):
    lines = [" ".join(rng.choice(WORDS) for _ in range(12)) for _ in range(2000)]
    for pool in (EMOJI, DIGITS, CODE, UNSTABLE):
        lines += [rng.choice(pool) + rng.choice(["", " "]) + rng.choice(WORDS) + " " + rng.choice(pool) for _ in range(200)]
    return lines


# ------------------------------------------------------------------------------------------------------- tokenizers

def train(tokenizer, corpus, vocab_size, special, **options):
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False, **options)
    tokenizer.train_from_iterator(corpus, trainer)


def byte_level(corpus, vocab_size, pre_tokenizer, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    train(tokenizer, corpus, vocab_size, [], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return tokenizer


def make_qwen(corpus):
    split = pre_tokenizers.Split(Regex(QWEN_REGEX), "isolated")
    tokenizer = byte_level(corpus, 1500, pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), normalizers.NFC())
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer.add_tokens([
        AddedToken("<think>", normalized=False, special=False),
        AddedToken("</think>", normalized=False, special=False),
        AddedToken("<tool>", normalized=True, special=False),
        AddedToken("E\u0301clair", normalized=True, special=False),
        AddedToken("Winnow", normalized=True, single_word=True),
    ])
    tokenizer.add_special_tokens([
        AddedToken("<mask>", lstrip=True, normalized=False),
        AddedToken("<right>", rstrip=True, normalized=True),
        AddedToken("<left>", lstrip=True, rstrip=True, normalized=False),
        AddedToken("<word>", single_word=True, normalized=False),
    ])
    return tokenizer


def make_gpt2(corpus):
    tokenizer = byte_level(corpus, 1200, pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=True))
    tokenizer.add_special_tokens(["<|bos|>", "<|eos|>"])
    bos, eos = tokenizer.token_to_id("<|bos|>"), tokenizer.token_to_id("<|eos|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=True),
        processors.TemplateProcessing(single="<|bos|> $A <|eos|>", special_tokens=[("<|bos|>", bos), ("<|eos|>", eos)])])
    # The older way to write merges, and Llama 3's way to look words up.
    file = json.loads(tokenizer.to_str())
    file["model"]["merges"] = [f"{a} {b}" for a, b in file["model"]["merges"]]
    file["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(file)), file


def make_llama(corpus):
    """A SentencePiece model as it is converted: no pre-tokenizer, a mark for each space, bytes for what is unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")  # only to train on words
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    train(tokenizer, corpus, 1600, special, limit_alphabet=300)
    file = json.loads(tokenizer.to_str())
    file["pre_tokenizer"] = None
    file["added_tokens"] = [t for t in file["added_tokens"] if t["id"] < 3]
    file["normalizer"] = json.loads(normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]).__getstate__())
    file["decoder"] = json.loads(decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]).__getstate__())
    tokenizer = Tokenizer.from_str(json.dumps(file))
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return tokenizer


def make_metaspace(corpus):
    """Metaspace as a pre-tokenizer, prepended only at the very start, and unknown characters lost."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    train(tokenizer, corpus, 1000, ["<unk>", "<s>", "</s>", "[INST]", "[/INST]"], limit_alphabet=200)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tokenizer


# -------------------------------------------------------------------------------------------------------- recording

def varint(n):
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def pack_ids(ids):
    return varint(len(ids)) + b"".join(map(varint, ids))


def pack_text(text, usual):
    """0 when the text is the usual one, else its length in bytes + 1 and the bytes."""
    if text == usual:
        return varint(0)
    data = text.encode()
    return varint(len(data) + 1) + data


def both_decodings(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=True), tokenizer.decode(ids, skip_special_tokens=False)


def has_mixed_byte_run(tokenizer, ids, skip):
    """Whether a run of byte tokens that is not UTF-8 holds whole characters: there Winnow's decoder differs by intent."""
    special = {t.content for t in tokenizer.get_added_tokens_decoder().values() if t.special}
    run = bytearray()
    for token in [tokenizer.id_to_token(i) for i in ids] + [""]:
        if skip and token in special:
            continue
        match = re.fullmatch("<0x([0-9A-F]{2})>", token)
        if match:
            run.append(int(match[1], 16))
            continue
        text = run.decode(errors="ignore")
        if text and text.encode() != bytes(run):
            return True
        run.clear()
    return False


def random_id_sequences(tokenizer, rng):
    while True:
        ids = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randint(0, 24))]
        if not any(has_mixed_byte_run(tokenizer, ids, skip) for skip in (True, False)):
            yield ids


def write_recording(tokenizer, strings, rng, path):
    """All numbers are LEB128 varints.

    ids that add_special_tokens puts before a text, ids that it puts after (each: count, ids)
    number of strings, then for each: ids without special tokens (count, ids), their decoding without special tokens (see
        pack_text, usual: the string), their decoding with special tokens (usual: the former)
    number of random id sequences, then for each: ids, decoding without special tokens (usual: the empty string), with
    """
    frame = tokenizer.encode("").ids
    a_ids = tokenizer.encode("a", add_special_tokens=False).ids
    framed = tokenizer.encode("a").ids
    cut = next(i for i in range(len(framed) + 1) if framed[i:i + len(a_ids)] == a_ids)
    prefix, suffix = frame[:cut], frame[cut:]
    out = [pack_ids(prefix), pack_ids(suffix), varint(len(strings))]
    for string in strings:
        ids = tokenizer.encode(string, add_special_tokens=False).ids
        assert tokenizer.encode(string).ids == prefix + ids + suffix
        without, with_special = both_decodings(tokenizer, ids)
        out += [pack_ids(ids), pack_text(without, string), pack_text(with_special, without)]
    sequences = random_id_sequences(tokenizer, rng)
    out.append(varint(NUM_ID_SEQUENCES))
    for _ in range(NUM_ID_SEQUENCES):
        ids = next(sequences)
        without, with_special = both_decodings(tokenizer, ids)
        out += [pack_ids(ids), pack_text(without, ""), pack_text(with_special, without)]
    with open(path, "wb") as file:
        file.write(b"".join(out))


# --------------------------------------------------------------------------------------------------------- variants

def split(pattern, behavior, invert=False, regex=True):
    return {"type": "Split", "pattern": {"Regex" if regex else "String": pattern}, "behavior": behavior, "invert": invert}


def variant_patches():
    """(name, tokenizer, what replaces its fields; "model.x" replaces one of the model's)."""
    bytes_only = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    bytes_prefixed = dict(bytes_only, add_prefix_space=True)
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
    behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]

    def sequence(*steps):
        return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": list(steps)}}

    for behavior in behaviors:
        for invert in (False, True):
            name = behavior + ("-inverted" if invert else "")
            yield "regex-" + name, "qwen", sequence(split(r"\s+|\p{N}", behavior, invert), bytes_only)
            yield "string-" + name, "llama", {"pre_tokenizer": split("e", behavior, invert, regex=False)}
        yield "empty-matches-" + behavior, "llama", {"pre_tokenizer": split("a*", behavior)}
        yield "punctuation-" + behavior, "llama", {"pre_tokenizer": {"type": "Punctuation", "behavior": behavior}}
    for name, regex in [("llama3", LLAMA3_REGEX), ("o200k", O200K_REGEX), ("possessive", POSSESSIVE_REGEX),
                        ("word-class", r"\w+|[^\w\s]"), ("not-space", r"[^\S\n]+|\n"), ("han", r"\p{Han}+|\p{Hiragana}|\P{L}"),
                        ("lines", r"^\s*|.$"), ("lookbehind", r"(?<=[a-z])(?=[A-Z0-9])|(?<!\d)\d{2,}?"),
                        ("groups", r"(?i)(?:ab|(c|d)e?)+|(?>\W\W)|[\x{41}-\u0045!\-\]]{,2}x*?")]:
        yield "pattern-" + name, "qwen", sequence(split(regex, "Isolated"), bytes_only)
    yield "byte-level-regex", "qwen", {"pre_tokenizer": dict(bytes_prefixed, use_regex=True)}
    yield "byte-level-prefixed-pieces", "qwen", sequence(split(r"\n", "Isolated"), bytes_prefixed)
    yield "deepseek", "qwen", sequence(split("[\r\n]", "Isolated"), split(r"\s?\p{L}+", "Isolated"), split(r"\s?\p{P}+", "Isolated"),
                                       split("[一-龥ࠀ-一가-퟿]+", "Isolated"), {"type": "Digits", "individual_digits": True}, bytes_only)
    for individual in (False, True):
        yield f"digits-{individual}", "llama", {"pre_tokenizer": {"type": "Digits", "individual_digits": individual}}
    yield "whitespace", "llama", {"normalizer": None, "pre_tokenizer": {"type": "Whitespace"}}
    yield "whitespace-split", "llama", {"normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}}
    for scheme in ("always", "first", "never"):
        for do_split in (False, True):
            options = dict(metaspace, prepend_scheme=scheme, split=do_split)
            yield f"metaspace-{scheme}-{do_split}", "llama", {"normalizer": None, "pre_tokenizer": options, "decoder": options}
    yield "metaspace-old", "llama", {"normalizer": None, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True}}
    yield "metaspace-stripped", "metaspace", {"normalizer": {"type": "Strip", "strip_left": True, "strip_right": True}}
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase"):
        yield form, "qwen", {"normalizer": {"type": form}}
    for left in (False, True):
        yield f"strip-{left}", "llama", {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": not left}}
    yield "replace-regex", "llama", {"normalizer": {"type": "Replace", "pattern": {"Regex": r"[aeiou]+|\s"}, "content": "▁x"}}
    yield "replace-start", "metaspace", {"normalizer": {"type": "Replace", "pattern": {"Regex": r"^.\p{L}"}, "content": "Q"}}
    yield "byte-decoder-sequence", "qwen", {"decoder": {"type": "Sequence", "decoders": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        {"type": "Replace", "pattern": {"String": "aa"}, "content": "<>"}, {"type": "Strip", "content": "e", "start": 2, "stop": 0}]}}
    yield "no-decoder", "llama", {"decoder": None}
    yield "strip-each", "llama", {"decoder": {"type": "Strip", "content": "▁", "start": 1, "stop": 0}}
    yield "fuse-replace", "llama", {"decoder": {"type": "Sequence", "decoders": [
        {"type": "Fuse"}, {"type": "Replace", "pattern": {"String": "▁t"}, "content": ""},
        {"type": "Replace", "pattern": {"String": "aab"}, "content": "é"}]}}
    yield "unknown-kept-apart", "metaspace", {"model.fuse_unk": False}
    yield "unknown-dropped", "metaspace", {"model.unk_token": None}
    yield "ignore-merges", "llama", {"model.ignore_merges": True, "pre_tokenizer": split(" ?▁?[a-z]+", "Isolated")}


def write_variants(files, strings, rng, path):
    with open(path, "w", encoding="utf-8") as out:
        for name, base, patch in variant_patches():
            file = json.loads(files[base])
            for key, value in patch.items():
                if key.startswith("model."):
                    file["model"][key[6:]] = value
                else:
                    file[key] = value
            tokenizer = Tokenizer.from_str(json.dumps(file))
            chosen = sorted(rng.sample(range(len(strings)), NUM_VARIANT_STRINGS))
            ids = [tokenizer.encode(strings[i], add_special_tokens=False).ids for i in chosen]
            decoded = [tokenizer.decode(x, skip_special_tokens=False) for x in ids]
            record = {"name": name, "base": base, "patch": patch, "strings": chosen, "ids": ids,
                      "decoded": [None if d == strings[i] else d for d, i in zip(decoded, chosen)]}
            out.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    rng = random.Random(20231123)
    os.makedirs(OUT, exist_ok=True)
    corpus = make_corpus(rng)
    strings = make_strings(rng)
    with open(f"{OUT}/strings.jsonl", "w", encoding="utf-8") as out:
        for string in strings:
            out.write(json.dumps(string, ensure_ascii=False).replace("\x7f", "\\u007f") + "\n")
    gpt2, gpt2_file = make_gpt2(corpus)
    with open(DEMO, encoding="utf-8") as demo:
        files = {"demo": demo.read()}
    for name, tokenizer in [("qwen", make_qwen(corpus)), ("llama", make_llama(corpus)), ("metaspace", make_metaspace(corpus))]:
        files[name] = json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False, separators=(",", ":"))
    files["gpt2"] = json.dumps(gpt2_file, ensure_ascii=False, separators=(",", ":"))
    for name, text in files.items():
        if name != "demo":
            with open(f"{OUT}/{name}.json", "w", encoding="utf-8") as out:
                out.write(text + "\n")
        write_recording(Tokenizer.from_str(text), strings, rng, f"{OUT}/{name}.rec")
    write_variants(files, strings, rng, f"{OUT}/variants.jsonl")


if __name__ == "__main__":
    main()
