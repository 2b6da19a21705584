"""Prompts: weights by brackets, against a table of what the web UI's rules give and a transcription of the formula."""

import json

import inlay
import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core import notices
from inlay.graph_runtime.core.events import Warned
from inlay.graph_runtime.front.installed import shipped_workflows
from inlay.models.prompt import foreign, parse_weights, read_prompt, token_weights
from inlay.models.text_encoder import tokenize
from inlay.nodes import attention, condition, model

UP, DOWN = 1.1, 1 / 1.1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", [("", 1)]),
        ("a red cat", [("a red cat", 1)]),
        ("a (red) cat", [("a ", 1), ("red", UP), (" cat", 1)]),
        ("a [red] cat", [("a ", 1), ("red", DOWN), (" cat", 1)]),
        ("a (red:1.3) cat", [("a ", 1), ("red", 1.3), (" cat", 1)]),
        ("a (red: 1.3 ) cat", [("a ", 1), ("red", 1.3), (" cat", 1)]),
        ("(red:.5)(blue:2)(green:+1.5)(grey:-1)", [("red", 0.5), ("blue", 2), ("green", 1.5), ("grey", -1)]),
        ("(red:1.0) cat", [("red cat", 1)]),
        ("((red))", [("red", UP * UP)]),
        ("[[red]]", [("red", DOWN * DOWN)]),
        ("(a [b] c)", [("a ", UP), ("b", UP * DOWN), (" c", UP)]),
        ("((a (b:2) c:1.5) d)", [("a ", 1.5 * UP), ("b", 3 * UP), (" c", 1.5 * UP), (" d", UP)]),
        (r"a \(red\) \[cat\] \\ b", [(r"a (red) [cat] \ b", 1)]),
        (r"(a \(b\):1.3)", [("a (b)", 1.3)]),
        (r"C:\words", [(r"C:\words", 1)]),  # the web UI drops this backslash; here it is a character
        ("[red:1.3]", [("red:1.3", DOWN)]),  # a number weighs round brackets alone
        ("at 10:30", [("at 10:30", 1)]),
        ("(", [("", 1)]),
        ("()", [("", 1)]),
        ("(a", [("a", UP)]),
        ("a) b:1.3) c]", [("a) b:1.3) c]", 1)]),
        ("(a [b) c]", [("a ", UP), ("b", UP * DOWN), (" c", DOWN)]),  # round and square brackets do not see each other
        ("(word:1.3", [("word:1.3", UP)]),
        ("(a:1,3)", [("a:1,3", UP)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1),
                ("house", 1.3 * UP * UP),
                (" ", UP),
                ("on", 1),
                (" a ", UP),
                ("hill", 0.5 * UP),
                (", sun, ", UP),
                ("sky", UP**4),
                (".", UP),
            ],
        ),
    ],
)
def test_brackets_are_read_as_the_web_ui_reads_them(text, parts):
    found, _ = parse_weights(text)
    assert "".join(piece for piece, _ in found) == "".join(piece for piece, _ in parts)
    each = [weight for piece, weight in found for _ in piece]
    assert each == pytest.approx([weight for piece, weight in parts for _ in piece], abs=1e-12)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a (red cat", "1 bracket is never closed, so the weight reaches to the end"),
        ("((a [b", "3 brackets are never closed"),
        ("a red) cat", "1 closing bracket has no opening one and is read as a character"),
        ("a:1.3) b]", "2 closing brackets have no opening one"),
        ("(red:1,3)", "'1,3' is no number"),
        ("(red:13)", "a weight of 13"),
        ("(red:-1)", "a weight of -1"),
    ],
)
def test_odd_brackets_are_said(text, said):
    notes = read_prompt(text, "weights").notes
    assert len(notes) == 1
    assert said in notes[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a cat BREAK a room", "BREAK is read as plain words"),
        ("a cat AND a dog", "AND is read as plain words"),
        ("a cat <lora:detail:0.8>", "'<lora:detail:0.8>' is read as plain words here: put model.lora"),
        ("<lyco:x:1> cat", "model.lora"),
        ("a cat <hypernet:x:1>", "hypernetworks are not supported"),
        ("embedding:easynegative, cat", "'embedding:easynegative' is read as plain words"),
        ("(embedding:bad-hands.pt:1.2)", "textual inversions"),
        ("[cat:dog:0.5]", "'[cat:dog:0.5]' is read as plain words here: a prompt is the same at every step"),
        ("a [cat::10] b", "'[cat::10]'"),
        ("a [cat:10] b", "'[cat:10]'"),
        ("[cat|dog] b", "'[cat|dog]'"),
        ("a {red|blue} cat", "'{red|blue}'"),
        ("a {red} cat", "braces give no weight"),
        ("a __colour__ cat", "'__colour__'"),
        ("red++ cat", "'red++' is read as plain words here: a weight is written (word:1.3)"),
        ("(red cat)1.3", "a weight is written (word:1.3)"),
        ("a cat::2 a dog", "'::2'"),
        ("a cat --ar 16:9", "'--ar' is read as plain words"),
        ("--no dogs", "'--no'"),
    ],
)
@pytest.mark.parametrize("syntax", ["weights", "plain"])
def test_what_means_something_to_other_tools_only_is_named(text, said, syntax):
    assert len(foreign(text)) == 1
    assert any(said in note for note in read_prompt(text, syntax).notes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a red cat in a room",
        "a well-known 3-legged cat; it's 10:30, isn't it?",
        "BREAKFAST AND TEA",
        "a cat -- asleep",
        "e.g. a_b, C++ code",
        "half/half 50% & more!",
        "🐈 猫",
    ],
)
def test_plain_words_raise_no_voice(text):
    for syntax in ("weights", "plain"):
        prompt = read_prompt(text, syntax)
        assert prompt.pieces == ((text, 1.0),)
        assert prompt.notes == ()


def test_plain_says_that_brackets_give_no_weight():
    for text in ("a (red:1.3) cat", "a ((red)) cat", "[[red]]"):
        prompt = read_prompt(text, "plain")
        assert prompt.text == text
        assert "syntax=weights" in prompt.notes[0]
    assert read_prompt("a (red) cat", "plain").notes == ()


@pytest.fixture
def encoder(shared_sd):
    return model.stable_diffusion(str(shared_sd)).text_encoder


def encoded(encoder, ctx, prompt, **kwargs):
    return condition.text(encoder, ctx, prompt=prompt, **kwargs).conditioning


def test_a_weight_of_one_and_no_brackets_change_no_bit(encoder, ctx):
    plain = encoded(encoder, ctx, "abc (d)", syntax="plain")
    assert torch.equal(encoded(encoder, ctx, r"abc \(d\)").cond, plain.cond)
    plain = encoded(encoder, ctx, "abc d e")
    same = encoded(encoder, ctx, "abc (d:1.0) e")
    assert torch.equal(same.cond, plain.cond)
    assert same.tokens == plain.tokens
    assert torch.equal(same.uncond, plain.uncond)
    told = encoded(encoder, ctx, "abc", negative="(abc:1)")
    assert told.cond is told.uncond  # equal texts are one, so the sampler evaluates the model once a step
    assert encoded(encoder, ctx, "abc", negative="(abc:1.2)").differs


@pytest.mark.parametrize(
    ("prompt", "plain", "weights"),
    [
        ("a (d:1.5) [e] f", "a d e f", [1, 1.5, DOWN, 1]),
        ("((abc)), (abkl:0.3) j", "abc, abkl j", [UP * UP, None, 0.3, 0.3, 0.3, 1]),
        ("(d e", "d e", [UP, UP]),
        ("a (b:1.5)c", "a bc", [1, 1.5, 1.5]),  # a weight that begins inside a word holds for all of it
    ],
)
def test_each_token_moves_from_the_empty_prompt_by_its_weight(encoder, ctx, prompt, plain, weights):
    got, told = encoded(encoder, ctx, prompt), encoded(encoder, ctx, plain)
    empty = encoded(encoder, ctx, "").cond
    assert got.tokens == told.tokens
    wanted = told.cond.clone()
    place = 1
    for weight in weights:
        if weight is None:  # the comma, which this tokenizer reads as the unknown token
            weight = 1.0
        wanted[0, place] = empty[0, place] + weight * (told.cond[0, place] - empty[0, place])
        place += 1
    assert torch.allclose(got.cond, wanted, atol=1e-6)
    still = [index for index, weight in enumerate([1, *weights], 0) if weight in (1, None)]
    assert torch.equal(got.cond[0, still], told.cond[0, still])
    assert torch.equal(got.cond[0, place:], told.cond[0, place:])
    assert not torch.equal(got.cond, told.cond)


def test_the_negative_has_weights_too(encoder, ctx):
    one, two = (encoded(encoder, ctx, "a", negative=text) for text in ("(d:1.5)", "d"))
    assert torch.equal(one.cond, two.cond)
    assert not torch.equal(one.uncond, two.uncond)


def test_a_long_prompt_is_cut_with_its_weights(encoder, tmp_path):
    said = []
    ctx = Context(out=tmp_path, listeners=(said.append,))
    cut = encoded(encoder, ctx, "a b c d e f g h i (j:1.5) (k l:1.5)")
    whole = encoded(encoder, ctx, "a b c d e f g h i (j:1.5)")
    assert torch.equal(cut.cond, whole.cond)
    messages = [event.message for event in said if isinstance(event, Warned)]
    assert len(messages) == 1
    assert "'k l'" in messages[0]


@pytest.mark.parametrize(
    "text",
    [
        "a (red:1.3) cat",
        "it's (dragon's:1.2) [room], 24 (x²:0.5)!",
        "(İstanbul é e\u0301:1.4) 🐈 (猫の:1.2) a_b--c",
        "don't (re:1.2)ally (_-x:0.7) <|endoftext|> (ok:1.1)",
    ],
)
def test_weights_follow_the_tokens_that_the_tokenizer_itself_places(text):
    """Against the offsets of the tokenizer, over a vocabulary of bytes in which nothing is unknown."""
    tokenizer = model.stable_diffusion("dollhouse").text_encoder.read_tokenizer()
    prompt = read_prompt(text, "weights")
    weights = token_weights(lambda words: tokenize(tokenizer, words, 10**9)[0][1:-1], prompt)
    each = [weight for piece, weight in prompt.pieces for _ in piece]
    places = tokenizer.backend.encode(prompt.text).offsets[1:-1]
    assert len(weights) == len(places)
    for weight, (start, end) in zip(weights, places, strict=True):
        inside = each[start:end]
        assert weight in inside or "really" in prompt.text


def test_a_wired_text_is_plain_unless_asked(encoder, tmp_path):
    said = []
    ctx = Context(out=tmp_path, listeners=(said.append,))
    typed = condition.text(encoder, ctx, prompt="a (d:1.5)").conditioning
    wired = condition.text(encoder, ctx, text="a (d:1.5)").conditioning
    assert torch.equal(wired.cond, condition.text(encoder, ctx, prompt="a (d:1.5)", syntax="plain").conditioning.cond)
    assert not torch.equal(wired.cond, typed.cond)
    asked = condition.text(encoder, ctx, text="a (d:1.5)", syntax="weights").conditioning
    assert torch.equal(asked.cond, typed.cond)
    assert any("syntax=weights" in event.message for event in said if isinstance(event, Warned))


def test_words_are_matched_across_weights(encoder, ctx):
    """The editor that aligns words sees the same words, whatever they weigh."""
    source, target = (encoded(encoder, ctx, text) for text in ("a (d:1.5) e", "a [d] k"))
    plain = [encoded(encoder, ctx, text) for text in ("a d e", "a d k")]
    assert (source.tokens, target.tokens) == tuple(one.tokens for one in plain)
    attention.prompt_to_prompt(source, target)


def flow(shared_sd, prompt, **more):
    return {
        "format": 1,
        "nodes": {
            "model": {"type": "model.stable_diffusion", "params": {"source": str(shared_sd)}},
            "words": {
                "type": "condition.text",
                "params": {"prompt": prompt},
                "inputs": {"text_encoder": "model.text_encoder"},
                **more,
            },
        },
        "outputs": {"told": "words.conditioning"},
    }


def test_a_file_of_version_1_keeps_its_brackets(shared_sd, encoder, ctx, tmp_path):
    old = inlay.run(flow(shared_sd, "a (d:1.5)"), out=tmp_path)["told"]
    new = inlay.run(flow(shared_sd, "a (d:1.5)", version=2), out=tmp_path)["told"]
    assert torch.equal(old.cond, encoded(encoder, ctx, "a (d:1.5)", syntax="plain").cond)
    assert torch.equal(new.cond, encoded(encoder, ctx, "a (d:1.5)").cond)
    asked = inlay.run(flow(shared_sd, "a (d:1.5)"), out=tmp_path, set={"words.syntax": "weights"})["told"]
    assert torch.equal(asked.cond, new.cond)


def test_check_names_what_means_nothing_here(shared_sd):
    report = inlay.check(flow(shared_sd, "a <lora:x:1> (cat", version=2))
    assert report == []
    assert [warning.node for warning in report.warnings] == ["words", "words"]
    assert "never closed" in report.warnings[0].message
    assert "model.lora" in report.warnings[1].message


def test_a_prompt_beside_a_wired_text_is_said(shared_sd, encoder):
    with notices.collect_notices() as said:
        condition.text.spec.check({"text_encoder": encoder}, {"prompt": "a (cat", "negative": ""})
    assert said == ["a text is connected, so the prompt is not used: disconnect the text, or empty the prompt"]
    with notices.collect_notices() as said:
        condition.text.spec.check({"text_encoder": encoder, "text": None}, {"prompt": "a cat", "negative": ""})
    assert said == []


SHIPPED = list(shipped_workflows().values())


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_workflows_read_weights(path):
    nodes = json.loads(path.read_text())["nodes"].values()
    assert all(node["version"] == 2 for node in nodes if node["type"] == "condition.text")


@pytest.mark.parametrize(
    ("words", "port"),
    [({"prompt": "a\ud800"}, "prompt"), ({"negative": "\udfff"}, "negative"), ({"text": "\ud800"}, "text")],
)
def test_half_a_character_is_refused(shared_sd, tmp_path, words, port):
    with pytest.raises(BadInput, match="half a character") as caught:
        condition.text(model.stable_diffusion(str(shared_sd)).text_encoder, Context(out=tmp_path), **words)
    assert caught.value.port == port
    str(caught.value).encode("utf-8")
