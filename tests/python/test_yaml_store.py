# SPDX-License-Identifier: MIT
"""A YAML store as other programs read it: what is text to us is text to PyYAML, which knows YAML 1.1."""
import pytest
import yaml

import modelmgr

WORDS = [
    "plain", " leading", "trailing ", "  both  ", "a: b", "a:", ":a", "#a", "a #b", "- a", "-", "--", "---", "...",
    "? a", "?", "% a", "@a", "`a`", "&a", "*a", "!a", "!!int 5", "|", ">", "'", "''", '"', '""', "a'b", 'a"b', "\\",
    "\\n", "{", "}", "{a: b}", "[", "]", "[a]", ",", "a, b", "null", "Null", "NULL", "~", "true", "True", "TRUE",
    "false", "yes", "Yes", "YES", "no", "on", "On", "ON", "off", "OFF", "y", "n", "=", "<<", "0", "1", "-1", "+1",
    "017", "0o17", "0x1F", "-0x1f", "0b101", "1_000", "1.5", "1.", ".5", "-.5", "1e5", "1.5e+10", "1_0.5", ".inf",
    "-.inf", "+.Inf", ".INF", ".nan", ".NaN", "12:30", "12:30:45", "190:20:30.15", "-12:30:45", "2024-01-31",
    "2024-01-31T12:00:00Z", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43.10 -5", "2001-12-15 2:59:43.10",
    "\u00e4", "\u6f22\u5b57", "a\u0085b", "a\u2028b", "a\u2029b", "\ufeffa", "a\ufeff", "\u00a0", "\u200b",
    "\U0001f600", "\U0010ffff", "\ue000", "_json", "_files", "modelmgr_store: 1", "w" * 2000
]
FREE = ["\n", "a\nb", "a\n", "\na", "a\n\n b\n", "a\r\nb", "\r", "\t", "a\tb", "\ta", "\x01\x1b\x7f", "a \nb"]


def add(store, key, **fields):
    store.add(
        modelmgr.Record({
            "key": key,
            "name": "N",
            "type": "main",
            "format": "diffusers",
            "base": "sd-1",
            "path": f"/models/{key}",
            **fields
        }))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.yaml"


def read(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_every_text_is_text(path):
    with modelmgr.Store(path, lenient=True) as store:
        for index, word in enumerate(WORDS):
            add(store, f"k{index}", name=word, description=word, source=word, tags=[word, "x"],
                trigger_phrases=[word], default_settings={word: word, "list": [word]})
    models = read(path)["models"]
    assert list(models) == [f"k{index}" for index in range(len(WORDS))]
    for model, word in zip(models.values(), WORDS):
        assert [model["name"], model["description"], model["source"]] == [word] * 3
        assert model["tags"] == [word, "x"] and model["trigger_phrases"] == [word]
        # What Python escapes in JSON is kept as it came, in "_json".
        assert ("default_settings" in model) == word.isascii()
        assert model.get("default_settings", {word: word, "list": [word]}) == {word: word, "list": [word]}
        for name in ("created_at", "updated_at", "type", "format", "base"):
            assert type(model[name]) is str
    with modelmgr.Store(path, lenient=True) as store:
        assert [found.description for found in store.search(sort="created_at")].count("plain") == 1
        assert all(store[f"k{index}"].name == word for index, word in enumerate(WORDS))


def test_texts_of_many_lines(path):
    with modelmgr.Store(path, lenient=True) as store:
        for index, text in enumerate(FREE):
            add(store, f"k{index}", description=text)
    assert [model["description"] for model in read(path)["models"].values()] == FREE


def test_keys_are_text(path):
    keys = ["1", "0x1F", "1e5", "null", "true", "on", "-", "--", "---", "2024-01-31", "1_000", "_json", "017"]
    with modelmgr.Store(path, lenient=True) as store:
        for key in keys:
            add(store, key)
    assert list(read(path)["models"]) == keys


def test_numbers_and_booleans_are_themselves(path):
    with modelmgr.Store(path, lenient=True) as store:
        add(store, "k", file_size=2**62, upcast_attention=True, default_settings={"a": [1, 1.5, None, False]})
    model = read(path)["models"]["k"]
    assert model["file_size"] == 2**62 and model["upcast_attention"] is True
    assert model["default_settings"] == {"a": [1, 1.5, None, False]}


def test_a_text_that_lost_its_quotes_is_noticed(path):
    """The control: what the tests above look for is there to be found."""
    with modelmgr.Store(path, lenient=True) as store:
        add(store, "k", name="0x1F", description="2024-01-31")
    text = path.read_text()
    assert "name: '0x1F'" in text and "description: '2024-01-31'" in text
    model = yaml.safe_load(text.replace("'", ""))["models"]["k"]
    assert type(model["name"]) is int and type(model["description"]) is not str
