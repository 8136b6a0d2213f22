"""What has been found out about bytes that come again."""

from __future__ import annotations

from oxllm.core.known import KEY_MAX, KEYS_MAX, Known


def test_what_is_known_is_asked_for_once() -> None:
    asked: list[bytes] = []

    def find_out(key: bytes) -> int:
        asked.append(key)
        return len(key)

    known = Known(find_out)
    assert [known[b"a"], known[b"bc"], known[b"a"]] == [1, 2, 1]
    assert asked == [b"a", b"bc"]


def test_no_more_is_kept_than_there_is_room_for() -> None:
    known = Known(len)
    for number in range(2 * KEYS_MAX):
        assert known[b"%d" % number] == len(str(number))
        assert len(known) <= KEYS_MAX


def test_how_much_is_kept_can_be_said() -> None:
    known: Known[tuple[str, str], str] = Known(
        lambda pair: pair[0] + pair[1], keys_max=2, key_max=3, size=lambda pair: len(pair[0])
    )
    for key in (("a", "b"), ("long", "c"), ("b", "c")):
        assert known[key] == key[0] + key[1]
    assert list(known) == [("a", "b"), ("b", "c")]
    assert known["d", "e"] == "de"
    assert list(known) == [("d", "e")]


def test_what_is_long_is_found_out_each_time() -> None:
    known = Known(len)
    assert known[b"x" * KEY_MAX] == KEY_MAX
    assert known[b"x" * (KEY_MAX + 1)] == KEY_MAX + 1
    assert list(known) == [b"x" * KEY_MAX]
