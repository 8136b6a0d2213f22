"""Which pages may be given back."""

from __future__ import annotations

import ctypes
import mmap
from pathlib import Path

import pytest

from oxllm.gateway.libc import MADV_DONTNEED, Libc, heap_bytes
from oxllm.gateway.memory import GROWN_BYTES, QUIET_S, SOON_S, Trimmer, resident_bytes, unchanged_mappings
from tests.support.house import House, plan_of, stream, token
from tests.support.virtual import VirtualLoop

SMAPS = """\
55d000000000-55d000001000 r--p 00000000 08:01 131 /usr/bin/python3.11
Size:                  4 kB
Rss:                   4 kB
Anonymous:             0 kB
VmFlags: rd mr mw me sd
55d000001000-55d000004000 r-xp 00001000 08:01 131 /usr/bin/python3.11
Size:                 12 kB
Anonymous:             0 kB
55d000004000-55d000006000 r--p 00004000 08:01 131 /usr/bin/python3.11
Anonymous:             8 kB
55d000006000-55d000008000 rw-p 00006000 08:01 131 /usr/bin/python3.11
Anonymous:             0 kB
55d100000000-55d100021000 rw-p 00000000 00:00 0                          [heap]
Anonymous:           132 kB
7f0000000000-7f0000003000 r-xp 00000000 08:01 99 /opt/with space/lib.so (deleted)
Anonymous:             0 kB
7f0000004000-7f0000005000 r--p 00000000 00:00 0
Anonymous:             0 kB
7fff00000000-7fff00002000 r-xp 00000000 00:00 0                          [vdso]
Anonymous:             0 kB
"""


def test_only_read_only_file_pages_without_a_change_are_given_back() -> None:
    assert list(unchanged_mappings(SMAPS.splitlines(keepends=True))) == [
        (0x55D000000000, 0x1000),
        (0x55D000001000, 0x3000),
        (0x7F0000000000, 0x3000),
    ]


def test_this_very_process_can_be_read() -> None:
    with open("/proc/self/smaps", encoding="ascii", errors="replace") as smaps:
        found = list(unchanged_mappings(smaps))
    assert found
    assert all(start % mmap.PAGESIZE == 0 == length % mmap.PAGESIZE for start, length in found)


def test_a_page_that_was_given_back_still_holds_what_its_file_does(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 8192)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 8192, mmap.MAP_PRIVATE, mmap.PROT_READ) as area:
        assert area[5000:5001] == b"x"
        area.madvise(MADV_DONTNEED)
        assert area[5000:5001] == b"x"


class Counted:
    """A libc that only counts."""

    def __init__(self) -> None:
        self.trims = 0

    def trim(self) -> None:
        self.trims += 1

    def forget(self, start: int, length: int) -> None:
        pass


@pytest.mark.slow
def test_it_gives_back_at_start_and_each_time_half_of_the_load_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Counted()
    monkeypatch.setattr("oxllm.gateway.memory.Libc", lambda: libc)
    loop, load, compacted = VirtualLoop(), [0], [0]

    def look(now: int) -> int:
        load[0] = now
        loop.call_later(QUIET_S, loop.stop)
        loop.run_forever()
        return libc.trims

    def compact() -> None:
        compacted[0] += 1

    Trimmer(loop, lambda: load[0], compact).start()
    assert [look(now) for now in (0, 100, 60, 50, 40, 20, 0, 0, 9, 0)] == [1, 1, 1, 2, 2, 3, 4, 4, 4, 5]
    assert compacted[0] == 4
    loop.close()


def test_under_load_holes_are_given_back_when_the_process_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Counted()
    monkeypatch.setattr("oxllm.gateway.memory.Libc", lambda: libc)
    loop, size = VirtualLoop(), [0]
    trimmer = Trimmer(loop, lambda: 100, lambda: None, resident=lambda: size[0])
    trimmer.start()

    def tidy(grown: float) -> int:
        size[0] += int(grown * GROWN_BYTES)
        trimmer.tidy()
        return libc.trims

    assert [tidy(grown) for grown in (1.0, 0.1, 0.0, 0.9, 0.2, -1.5, 1.0, 1.6)] == [1, 2, 2, 2, 3, 3, 3, 4]
    loop.close()


def test_it_is_looked_for_holes_as_long_as_requests_are_in_flight() -> None:
    with House(plan_of("alpha")) as house:
        looks: list[float] = []
        house.runtime.tidy = lambda: looks.append(house.loop.time())
        house.providers["alpha"].replies = [stream(token("a"), 5.0, token("b"))]
        house.chat(stream=True)
        house.advance(4)
        assert len(looks) > 20
        house.advance(10)
        seen = len(looks)
        house.advance(10)
        assert len(looks) == seen


def test_nothing_is_given_back_while_another_thread_may_be_loading_code(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Counted()
    monkeypatch.setattr("oxllm.gateway.memory.Libc", lambda: libc)
    loop, load, busy = VirtualLoop(), [100], [False]
    Trimmer(loop, lambda: load[0], lambda: None, lambda: busy[0]).start()

    def look() -> int:
        loop.call_later(QUIET_S, loop.stop)
        loop.run_forever()
        return libc.trims

    assert look() == 1
    load[0], busy[0] = 0, True
    assert [look(), look()] == [1, 1]
    busy[0] = False
    assert look() == 2, "it was put off, not forgotten"
    loop.close()


def test_what_code_that_is_loaded_late_has_left_is_given_back_in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    libc = Counted()
    monkeypatch.setattr("oxllm.gateway.memory.Libc", lambda: libc)
    loop, busy = VirtualLoop(), [True]
    Trimmer(loop, lambda: 0, lambda: None, lambda: busy[0]).soon()

    def later(seconds: float) -> int:
        loop.call_later(seconds, loop.stop)
        loop.run_forever()
        return libc.trims

    assert later(2 * SOON_S) == 0, "another thread may be loading code"
    busy[0] = False
    assert later(2 * SOON_S) == 1
    assert later(20 * SOON_S) == 1
    loop.close()


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_library: int, _name: str) -> int:
        raise OSError

    monkeypatch.setattr("oxllm.gateway.libc.dlsym", missing)
    assert heap_bytes() == 0
    loop = VirtualLoop()
    Trimmer(loop, lambda: 0, lambda: None).start()
    assert loop.timers == 0
    loop.close()


def test_a_page_that_is_given_back_comes_from_its_file_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * mmap.PAGESIZE)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as area:
        area[:1] = b"y"
        Libc().forget(ctypes.addressof(ctypes.c_char.from_buffer(area)), mmap.PAGESIZE)
        assert area[:1] == b"x"


@pytest.mark.skipif(not heap_bytes(), reason="this libc does not say what it has given out, nor gives it back")
def test_freed_memory_is_given_back() -> None:
    many = [bytes(1000) for _ in range(20_000)]
    many = many[-1:]
    before = resident_bytes()
    Libc().trim()
    after = resident_bytes()
    assert before is not None
    assert after is not None
    assert after < before - 5_000_000


@pytest.mark.skipif(not heap_bytes(), reason="this libc does not say what it has given out")
def test_the_heap_grows_by_what_is_taken_from_it_and_shrinks_again() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.argtypes, libc.malloc.restype, libc.free.argtypes = (
        [ctypes.c_size_t],
        ctypes.c_void_p,
        [ctypes.c_void_p],
    )
    before = heap_bytes()
    taken = [libc.malloc(size) for size in (1_000_000, 100_000, 10_000)]
    grown = heap_bytes() - before
    for address in taken:
        libc.free(address)
    assert 1_100_000 < grown < 1_300_000
    assert abs(heap_bytes() - before) < 100_000
