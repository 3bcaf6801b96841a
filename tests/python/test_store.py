# SPDX-License-Identifier: MIT
"""The record store from Python."""
import json
import sqlite3
import threading

import pytest

import modelmgr


def record(name, **fields):
    return modelmgr.Record({
        "name": name,
        "type": "lora",
        "format": "lycoris",
        "base": "sd-1",
        "path": f"/models/{name}.safetensors",
        **fields
    })


@pytest.fixture
def store(tmp_path):
    with modelmgr.Store(tmp_path / "a.db") as opened:
        yield opened


def test_add_get_update_delete(store):
    added = store.add(record("one"))
    assert added.created_at and store.get(added.key) == added == store[added.key]
    assert added.key in store and store.exists(added.key) and "0" * 32 not in store
    changed = store.update(added.key, description="words", tags=["x"])
    assert (changed.description, changed.tags, changed.name) == ("words", ["x"], "one")
    assert store.update(added.key, {"description": None}).description is None
    store.delete(added.key)
    assert added.key not in store
    with pytest.raises(modelmgr.UnknownModelError) as caught:
        store.get(added.key)
    assert added.key in (caught.value.subject or "") + caught.value.message


def test_add_takes_a_dict(store):
    assert store.add(record("one").to_dict()).name == "one"


def test_duplicates_name_the_other_record(store):
    first = store.add(record("one"))
    with pytest.raises(modelmgr.DuplicateModelError) as caught:
        store.add(record("one"))
    assert caught.value.subject == first.key
    assert caught.value.field == "path"


def test_update_refuses_nonsense_and_changes_nothing(store):
    added = store.add(record("one"))
    with pytest.raises(modelmgr.InvalidConfigError):
        store.update(added.key, file_size="much")
    assert store.get(added.key) == added
    with pytest.raises(modelmgr.UnknownModelError):
        store.update("0" * 32, name="x")


def test_search(store):
    for index in range(5):
        store.add(
            record(f"m{index}",
                   base="sd-1" if index % 2 else "sdxl",
                   tags=["even"] if index % 2 == 0 else ["odd", "all"]))
    assert len(store) == 5 and {found.name for found in store} == {f"m{i}" for i in range(5)}
    assert {found.name for found in store.search(base="sd-1")} == {"m1", "m3"}
    assert [found.name for found in store.search(sort="-name")][0] == "m4"
    page = store.search(sort="name", limit=2, offset=1)
    assert [found.name for found in page] == ["m1", "m2"] and page.total == 5
    assert {found.name for found in store.search(tags=["odd", "all"])} == {"m1", "m3"}
    assert store.search(name="nobody") == []
    with pytest.raises(modelmgr.ArgumentError):
        store.search(sort="nonsense")
    with pytest.raises(TypeError):
        store.search(tags="odd")


def test_by_name(store):
    store.add(record("one"))
    store.add(record("one", path="/models/other.safetensors", base="sdxl"))
    with pytest.raises(modelmgr.AmbiguousModelError):
        store.get_by_name("one")
    assert store.get_by_name("one", base="sdxl").base == "sdxl"
    with pytest.raises(modelmgr.UnknownModelError):
        store.get_by_name("two")


def test_a_foreign_database_is_refused_untouched(tmp_path):
    path = tmp_path / "foreign.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE models (id INTEGER)")
    before = path.read_bytes()
    with pytest.raises(modelmgr.StoreIncompatibleError):
        modelmgr.Store(path)
    assert path.read_bytes() == before


def test_two_handles_and_many_threads_share_one_file(tmp_path):
    failures = []

    def work(number):
        try:
            with modelmgr.Store(tmp_path / "a.db") as own:
                for index in range(10):
                    own.add(record(f"t{number}-{index}"))
        except BaseException as error:  # reported by the test's own thread
            failures.append(error)

    with modelmgr.Store(tmp_path / "a.db") as shared:
        threads = [threading.Thread(target=work, args=(number, )) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert len(shared) == 40


def test_use_after_close(tmp_path):
    store = modelmgr.Store(tmp_path / "a.db")
    key = store.add(record("one")).key
    store.close()
    store.close()
    for use in (lambda: store.get(key), lambda: store.search(), lambda: store.version,
                lambda: store.delete(key), lambda: list(store)):
        with pytest.raises(modelmgr.StateError):
            use()


def test_read_only(tmp_path):
    with modelmgr.Store(tmp_path / "a.db") as store:
        key = store.add(record("one")).key
    with modelmgr.Store(tmp_path / "a.db", read_only=True) as store:
        assert store.get(key).name == "one"
        for change in (lambda: store.add(record("two")), lambda: store.update(key, name="x"),
                       lambda: store.delete(key)):
            with pytest.raises(modelmgr.StateError):
                change()


def test_paths_are_resolved(tmp_path):
    config = modelmgr.Config(tmp_path, environment=False)
    with modelmgr.Store(tmp_path / "a.db", config) as store:
        added = store.add(
            record("one", type="main", format="diffusers", path="sd-1/main/one", vae="sd-1/vae/two"))
        assert store.resolve(added) == str(tmp_path / "models/sd-1/main/one")
        assert store.resolve(added, "vae") == str(tmp_path / "models/sd-1/vae/two")
        assert store.resolve(added, "config_path") is None
        with pytest.raises(modelmgr.ArgumentError):
            store.resolve(added, "name")


@pytest.mark.parametrize("name", ["a.db", "a.yaml"])
def test_filters_text_and_pages(tmp_path, name):
    with modelmgr.Store(tmp_path / name) as store:
        store.add_all(
            record(f"m{index:02}", file_size=index << 30, tags=["big"] if index > 5 else None,
                   description="for photographs" if index == 3 else None) for index in range(12))
        assert len(store) == 12
        found = store.search(filter="file_size > 2GiB and not tags = big", sort="name")
        assert [model.name for model in found] == ["m03", "m04", "m05"]
        assert [model.name for model in store.search(text="photo")] == ["m03"]
        assert store.search(text="photo", filter="name = m04") == []
        names, cursor = [], None
        while True:
            page = store.search(sort="-file_size", limit=5, cursor=cursor, count=cursor is None)
            assert page.total == (12 if cursor is None else 0)
            names += [model.name for model in page]
            cursor = page.cursor
            if cursor is None:
                break
        assert names == [f"m{index:02}" for index in reversed(range(12))]
        with pytest.raises(modelmgr.ArgumentError) as caught:
            store.search(filter="file_size > 2GiB and nmae = x")
        assert (caught.value.field, caught.value.offset) == ("filter", 21)
        for wrong in ({"text": "..."}, {"cursor": "00"}):
            with pytest.raises(modelmgr.ArgumentError) as caught:
                store.search(**wrong)
            assert caught.value.field in wrong


def test_all_records_are_visited_in_pages(tmp_path):
    with modelmgr.Store(tmp_path / "a.db") as store:
        store.add_all([record(f"m{index}") for index in range(600)])
        assert len({model.key for model in store}) == 600
        # Records may come and go meanwhile.
        for model in store:
            store.delete(model.key)
        assert len(store) == 0


def test_add_all_is_all_or_nothing(store):
    store.add(record("one"))
    with pytest.raises(modelmgr.DuplicateModelError):
        store.add_all([record("two"), record("one"), record("three")])
    assert [model.name for model in store] == ["one"]


def test_unknown_fields_and_values(tmp_path):
    newer = record("one", base="sd-77", x_new={"a": 1})
    with modelmgr.Store(tmp_path / "a.db") as strict:
        with pytest.raises(modelmgr.InvalidConfigError) as caught:
            strict.add(newer)
        assert (caught.value.field, caught.value.subject) == ("base", newer.key)
        with modelmgr.Store(tmp_path / "a.db", lenient=True) as lenient:
            lenient.add(newer)
        changed = strict.update(newer.key, name="two")
        assert (changed.base, changed.x_new, changed.name) == ("sd-77", {"a": 1}, "two")
        with pytest.raises(modelmgr.InvalidConfigError):
            strict.update(newer.key, x_newer=1)


def test_changes_by_others(tmp_path):
    with modelmgr.Manager(tmp_path, watch=True) as manager, \
            manager.events("store") as events, \
            modelmgr.Store(tmp_path / "databases/modelmgr.db") as other:
        before = manager.store.changes()
        other.add(record("one"))
        assert next(event.name for event in events) == "store.changed"
        assert manager.store.changes() > before


@pytest.mark.parametrize("name,number", [("limit", -1), ("offset", -1), ("limit", 1 << 64)])
def test_numbers_that_do_not_fit_are_not_cut_off(store, name, number):
    store.add(record("one"))
    with pytest.raises(modelmgr.ArgumentError) as caught:
        store.search(**{name: number})
    assert caught.value.field == name and str(number) in caught.value.message


def test_any_text_can_stand_quoted_in_a_filter(store):
    for text in ("two words", "it's \"so\"", "back\\slash", "caf\u00e9 \U0001f600", "null", "a\tb"):
        key = store.add(record("one", path=f"/models/{len(store)}", description=text)).key
        found = store.search(filter=f"description = {json.dumps(text)}")
        assert [model.key for model in found] == [key]


def test_the_library_tells_the_schema_that_its_stores_have(store):
    info = modelmgr.library_info()
    assert str(info["schema"]) == store.version
    assert {"sqlite", "yaml"} <= set(info["features"])
