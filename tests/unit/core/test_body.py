"""A body reaches the provider byte for byte but for what is ours to change, and no bad one gets in."""

from __future__ import annotations

import json
import tracemalloc

import msgspec
import pytest

from oxllm.core.protocols import chat, responses
from oxllm.core.protocols.asked import Asked
from oxllm.core.wire.body import CHARACTER_MAX, LONG, NAME_MAX, OPTIONS_MAX, RequestBody
from oxllm.core.wire.body_faults import DEPTH_MAX, MEMBERS_MAX, BadBody
from oxllm.core.wire.nesting import SLICE
from tests.support.effort import passes

Extra = dict[str, str]


def render(data: bytes, model: str = "real", extra_body: Extra | None = None, ask_usage: bool = False) -> bytes:
    length, segments = RequestBody.parse(bytearray(data)).render(model, extra_body or {}, ask_usage)
    joined = b"".join(segments)
    assert length == len(joined)
    return joined


def refused(data: bytes) -> BadBody:
    with pytest.raises(BadBody) as caught:
        RequestBody.parse(bytearray(data))
    return caught.value


# What is read of a body.


@pytest.mark.parametrize(
    ("data", "model", "stream", "n", "wants_usage"),
    [
        (b'{"model":"m"}', "m", False, 1, False),
        (b' {"model" : "\\u006d\xc3\xa4" , "stream" : true }\n', "mä", True, 1, False),
        (b'{"model":"m","stream":false,"n":3}', "m", False, 3, False),
        (b'{"model":"m","stream":null,"n":null,"stream_options":null}', "m", False, 1, False),
        (b'{"model":"m","n":0}', "m", False, 1, False),
        (b'{"model":"m","stream_options":{"include_usage":true,"x":[1]}}', "m", False, 1, True),
        (b'{"model":"m","stream_options":{"include_usage":false}}', "m", False, 1, False),
        (b'{"model":"m","stream_options":{"include_usage":null}}', "m", False, 1, False),
        (b'{"model":"m","stream_options":{}}', "m", False, 1, False),
        (b'{"model":"a","n":2,"model":"b","n":3}', "b", False, 3, False),
        (b'{"\\u006dodel":"m"}', "m", False, 1, False),
    ],
)
def test_the_gateway_reads_four_members(data: bytes, model: str, stream: bool, n: int, wants_usage: bool) -> None:
    body = RequestBody.parse(data)
    assert (body.model, chat.PROTOCOL.asked(chat.PROTOCOL.endpoints[0], body)) == (model, Asked(stream, n, wants_usage))


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b"{}", "model"),
        (b'{"model":null}', "model"),
        (b'{"model":1}', "model"),
        (b'{"model":["m"]}', "model"),
        (b'{"model":"m","stream":"true"}', "stream"),
        (b'{"model":"m","stream":1}', "stream"),
        (b'{"model":"m","n":"2"}', "n"),
        (b'{"model":"m","n":1.5}', "n"),
        (b'{"model":"m","n":true}', "n"),
        (b'{"model":"m","stream_options":true}', "stream_options"),
        (b'{"model":"m","stream_options":{"include_usage":"yes"}}', "stream_options"),
        (b'{"model":"%b"}' % (b"m" * (NAME_MAX + 1)), "model"),
        (b'{"model":"%b"}' % (b"m" * (CHARACTER_MAX * NAME_MAX + 1)), "model"),
        (b'{"model":[%b1]}' % (b"1," * (CHARACTER_MAX * NAME_MAX)), "model"),
        (b'{"model":"m","stream_options":{"%b":1}}' % (b"x" * OPTIONS_MAX), "stream_options"),
    ],
)
def test_a_member_of_the_wrong_kind_is_named(data: bytes, param: str) -> None:
    with pytest.raises(BadBody) as caught:
        chat.PROTOCOL.asked(chat.PROTOCOL.endpoints[0], RequestBody.parse(data))
    assert caught.value.param == param
    assert f"`{param}`" in caught.value.message


# What goes to the provider.


@pytest.mark.parametrize(
    ("data", "sent"),
    [
        (b'{"model":"m"}', b'{"model":"real"}'),
        (b'{"a":1,"model":"m","b":2}', b'{"a":1,"model":"real","b":2}'),
        (b'{"t":1.50,"u":1e5,"v":-0,"model":"m"}', b'{"t":1.50,"u":1e5,"v":-0,"model":"real"}'),
        (
            b'{"big":123456789012345678901234567890,"model":"m"}',
            b'{"big":123456789012345678901234567890,"model":"real"}',
        ),
        (
            b'{"s":"\\u00e4\\/\xc3\xa4\\ud83d\\ude00","model":"m"}',
            b'{"s":"\\u00e4\\/\xc3\xa4\\ud83d\\ude00","model":"real"}',
        ),
        (b'{ "a" : { "b" : [ 1 , 2 ] } , "model" : "m" }', b'{"a":{ "b" : [ 1 , 2 ] },"model":"real"}'),
        (b'{"a":1,"model":"m","a":2}', b'{"a":2,"model":"real"}'),
        (b'{"messages":[{"model":"m"}],"model":"m"}', b'{"messages":[{"model":"m"}],"model":"real"}'),
        (b'{"q\\"\\\\":1,"model":"m"}', b'{"q\\"\\\\":1,"model":"real"}'),
    ],
)
def test_all_but_the_model_is_sent_byte_for_byte(data: bytes, sent: bytes) -> None:
    assert render(data) == sent


def test_a_model_of_any_name_is_sent_as_a_json_string() -> None:
    assert render(b'{"model":"m"}', 'we"ird\\ä\n') == '{"model":"we\\"ird\\\\ä\\n"}'.encode()


@pytest.mark.parametrize(
    ("data", "extra_body", "sent"),
    [
        (b'{"model":"m","a":1}', {"a": '{"b": 2}'}, b'{"model":"real","a":{"b": 2}}'),
        (b'{"model":"m","a":1}', {"c": '"\u00e4"'}, b'{"model":"real","a":1,"c":"\xc3\xa4"}'),
        (b'{"a":{"deep":1},"model":"m"}', {"a": "{}", "z": "0"}, b'{"a":{},"model":"real","z":0}'),
    ],
)
def test_the_providers_extra_body_replaces_members_and_adds_new_ones(
    data: bytes, extra_body: Extra, sent: bytes
) -> None:
    assert render(data, extra_body=extra_body) == sent


@pytest.mark.parametrize(
    ("members", "extra_body", "sent"),
    [
        (b'"stream":true', {}, b'"stream":true,"stream_options":{"include_usage":true}'),
        (b'"stream":true,"stream_options":null', {}, b'"stream":true,"stream_options":{"include_usage":true}'),
        (
            b'"stream_options":{"x": [1.0] ,"include_usage":false},"stream":true',
            {},
            b'"stream_options":{"x":[1.0],"include_usage":true},"stream":true',
        ),
        (
            b'"stream_options":{ "include_usage": true },"stream":true',
            {},
            b'"stream_options":{ "include_usage": true },"stream":true',
        ),
        (
            b'"stream":true,"stream_options":{"x":1}',
            {"stream_options": '{"y":2}'},
            b'"stream":true,"stream_options":{"y":2,"include_usage":true}',
        ),
        (b'"stream":true', {"stream_options": "7"}, b'"stream":true,"stream_options":{"include_usage":true}'),
    ],
)
def test_usage_is_asked_for_in_streams_beside_other_stream_options(
    members: bytes, extra_body: Extra, sent: bytes
) -> None:
    assert render(b'{"model":"m",' + members + b"}", "m", extra_body, ask_usage=True) == b'{"model":"m",' + sent + b"}"


def test_one_body_serves_several_providers_in_turn() -> None:
    body = RequestBody.parse(b'{"a":1,"model":"m","stream":true}')
    first = body.render("one", {"a": "2", "b": "3"}, True)
    second = body.render("two", {}, False)
    assert b"".join(first[1]) == b'{"a":2,"model":"one","stream":true,"b":3,"stream_options":{"include_usage":true}}'
    assert b"".join(second[1]) == b'{"a":1,"model":"two","stream":true}'


def test_a_large_value_is_a_view_of_the_received_bytes() -> None:
    data = bytearray(b'{"a":1,"x":"%b","model":"m","y":"%b"}' % (b"x" * SLICE, b"y" * 10))
    length, segments = RequestBody.parse(data).render("real", {"z": "1"}, False)
    assert [type(segment) for segment in segments] == [bytes, memoryview, bytes]
    assert segments[0] == b'{"a":1,"x":'
    assert segments[2] == b',"model":"real","y":"yyyyyyyyyy","z":1}'
    assert length == sum(map(len, segments))
    data[12:15] = b"***"
    assert bytes(segments[1])[:5] == b'"***x'


def test_a_large_value_may_come_first_or_last() -> None:
    big = b'"' + b"x" * SLICE + b'"'
    assert render(b'{"x":%b,"model":"m"}' % big) == b'{"x":%b,"model":"real"}' % big
    assert render(b'{"model":"m","x":%b}' % big) == b'{"model":"real","x":%b}' % big


# What is refused.

AT = "the request body is not valid JSON: %s (byte %d)"


@pytest.mark.parametrize(
    ("data", "what", "offset"),
    [
        (b"", "it ends too early", 0),
        (b'{"model":"m"', "it ends too early", 12),
        (b'{"a":"\\ud8', "it ends too early", 10),
        (b'{"a":"\\ud800', "it ends too early", 12),
        (b'{"a":"\\ud800\\ud', "it ends too early", 15),
        (b'{"a":"\\\\ud800', "it ends too early", 13),
        (b'{"a":"\\\\ud800"', "it ends too early", 14),
        (b'{"a":NaN}', "invalid character", 5),
        (b'{"a":[1,-Infinity]}', "invalid character", 9),
        (b'{"a":1,}', "trailing comma in object", 7),
        (b'{"a":1}x', "trailing characters", 7),
        (b'{"a":1} \n}}}', "trailing characters", 9),
        (b'{"a":"\x01"}', "invalid character", 6),
        (b'{"a":"\\x"}', "invalid escaped character", 7),
        (b'{"\\x":1}', "invalid escape character in string", 3),
        (b'{"a":"\\u12G4"}', "invalid character in unicode escape", 10),
        (b"\xef\xbb\xbf{}", "invalid character", 0),
        (b'{"a":"\xff"}', "not UTF-8", 6),
        (b'{"\xff":1}', "not UTF-8", 2),
        (b'{"a":{"b\xc3":1}}', "not UTF-8", 8),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8", 6),
        (b'{"a":"' + b"x" * SLICE + b'\xff"}', "not UTF-8", 6 + SLICE),
        (b'{"a":"' + b"x" * (SLICE - 7) + b'\xc3\xa4\xff"}', "not UTF-8", 1 + SLICE),
        (b'{"a":"\\ud800"}', "a lone surrogate", 6),
        (b'{"a":"\\ud800 and more of it"}', "a lone surrogate", 6),
        (b'{"a":"\\ud800\\n and more"}', "a lone surrogate", 6),
        (b'{"a":"\\udc00 and more of it"}', "a lone surrogate", 6),
        (b'{"a":"\\ud800\\u0041 and more"}', "a lone surrogate", 6),
        (b'{"a":"\\uD83D\\uDE00\\uD83D"}', "a lone surrogate", 18),
        (b'{"a":"\\\\ud800\\udc00 and more"}', "a lone surrogate", 13),
        (b'{"\\ud800":1}', "a lone surrogate", 2),
        (b'{"a":{"\\udfff":1}}', "a lone surrogate", 7),
    ],
)
def test_what_is_no_json_is_refused_with_the_place(data: bytes, what: str, offset: int) -> None:
    assert refused(data).message == AT % (what, offset)


@pytest.mark.parametrize("data", [b"[]", b'"m"', b"1", b"null"])
def test_a_body_that_is_no_object_is_refused(data: bytes) -> None:
    assert refused(data).message == "the request body must be a JSON object"


def checks(body: bytes) -> float:
    """How much longer it takes to check a body than to parse it once."""
    data = bytearray(body)
    return passes(lambda: RequestBody.parse(data)) / passes(lambda: msgspec.json.decode(data, type=msgspec.Raw))


def test_a_large_body_of_short_messages_is_checked_in_the_time_of_a_few_parsers() -> None:
    assert checks(json.dumps({"model": "v", "messages": [{"role": "user", "content": "ok"}] * 25_000}).encode()) < 14


def test_a_large_body_of_escapes_is_checked_in_the_time_of_a_few_parsers() -> None:
    assert checks(json.dumps({"model": "v", "prompt": "\u043f\u0440" * (LONG // 6)}).encode()) < 11


def nested(depth: int, before: bytes = b"") -> bytes:
    pairs = (depth - 1) // 2
    return b'{"model":"m",' + before + b'"x":' + b'[{"":' * pairs + b"[]" * (depth % 2 == 0) + b"}]" * pairs + b"}"


@pytest.mark.parametrize("before", [b"", b'"y":"[[{{\\"[",', b'"y":"%b",' % (b"\\\\" * SLICE), b'"y":[],' * 10])
def test_nesting_up_to_the_bound_passes_and_one_level_more_is_refused(before: bytes) -> None:
    RequestBody.parse(nested(DEPTH_MAX, before))
    place = len(b'{"model":"m",' + before + b'"x":') + DEPTH_MAX - 1
    error = refused(b'{"model":"m",' + before + b'"x":' + b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"}")
    assert error.message == AT % ("nested deeper than 500", place)


def test_nesting_is_seen_behind_an_escape_that_lies_on_a_border_of_slices() -> None:
    for filler in range(SLICE - 20, SLICE):
        before = b'{"model":"m","y":"%b\\"","x":' % (b"x" * filler)
        error = refused(before + b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"}")
        assert error.message == AT % ("nested deeper than 500", len(before) + DEPTH_MAX - 1)


def test_brackets_in_strings_are_no_nesting() -> None:
    assert RequestBody.parse(b'{"model":"m","x":"%b"}' % (b'[{\\"' * 100_000)).model == "m"


def members(count: int, value: bytes) -> bytes:
    return b'{"model":"m"' + b"".join(b',"%d":%b' % (i, value) for i in range(count - 1)) + b"}"


@pytest.mark.parametrize("value", [b"1", b"[]", b'{"a":":"}'])
def test_as_many_members_as_the_bound_pass_and_one_more_is_refused(value: bytes) -> None:
    RequestBody.parse(members(MEMBERS_MAX, value))
    assert refused(members(MEMBERS_MAX + 1, value)).message == "the request body has more than 1024 members"


def test_a_name_over_the_bound_is_refused() -> None:
    RequestBody.parse(b'{"model":"m","%b":1}' % (b"x" * NAME_MAX))
    message = refused(b'{"model":"m","%b":1}' % (b"x" * (NAME_MAX + 1))).message
    assert message == "the request body has a member whose name is longer than 1024 characters"


def test_names_of_a_long_body_are_read_as_those_of_a_short_one() -> None:
    text = "x" * LONG + "é"
    long = {"model": "m", "x" * NAME_MAX: 1, "messages": [{"y" * SLICE: "~"}] * 3, "stop": "~"}
    assert json.loads(render(json.dumps(long | {"input": text}).encode())) == long | {"input": text, "model": "real"}
    assert refused(b'{"input":"%b",}' % text.encode()).message.startswith("the request body is not valid JSON")
    assert refused(b'["%b"]' % text.encode()).message == "the request body must be a JSON object"


def test_no_refusal_quotes_the_body() -> None:
    for data in (b'{"secret":', b'{"secret":secret}', b'["secret"]', b'{"model":["secret"]}', b'{"secret\xff":1}'):
        assert "secret" not in refused(data).message


# What it costs.

SIZE = 8 * 1024 * 1024


def large(start: bytes, unit: bytes, end: bytes) -> bytearray:
    return bytearray(start + unit * ((SIZE - len(start) - len(end)) // len(unit)) + end)


@pytest.mark.parametrize(
    ("start", "unit", "end"),
    [
        pytest.param(b'{"a":"', b"hello: [world] ", b'"}', id="text"),
        pytest.param(b'{"a":"', "😀".encode(), b'"}', id="emoji"),
        pytest.param(b'{"a":[1', b',{"role":"user","content":"hello"}', b"]}", id="messages"),
        pytest.param(b'{"a":[1', b",[]", b"]}", id="brackets"),
        pytest.param(b'{"a":[1', b',""', b"]}", id="strings"),
        pytest.param(b'{"a":[{"":1}' + b",[]" * 500 + b',"', b"\\\\", b'"]}', id="backslashes"),
        pytest.param(b'{"a":0', b',"a":1', b"}", id="members"),
        pytest.param(b'{"a":"', b"x", b'\xff"}', id="a bad last byte"),
        pytest.param(b'{"a":"', b"\\\\", b'\\ud800"}', id="a lone surrogate at the end"),
        pytest.param(b'{"a":', b"[", b"", id="deep"),
        pytest.param(b'{"', b"x", '😀":1}'.encode(), id="a long name"),
        pytest.param(b'{"', b"x", b'\\ud83d\\ude00":1}', id="a long name with escapes"),
        pytest.param(b'{"model":"', b"x", '😀"}'.encode(), id="a long model"),
        pytest.param(b'{"prompt_cache_key":"', b"x", '😀"}'.encode(), id="a long key"),
        pytest.param(b'{"metadata":{"user_id":"', b"x", '😀"}}'.encode(), id="a long user"),
        pytest.param(b'{"previous_response_id":"', b"x", '😀"}'.encode(), id="a long id"),
    ],
)
def test_a_body_of_8_mib_is_never_copied(start: bytes, unit: bytes, end: bytes) -> None:
    data = large(b'{"model":"m",' + start[1:], unit, end)
    tracemalloc.start()
    try:
        body = RequestBody.parse(data)
        body.session()
        for protocol in (chat.PROTOCOL, responses.PROTOCOL):
            protocol.asked(protocol.endpoints[0], body)
        body.render("real", {"b": "1"}, False)
    except BadBody:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < SIZE // 2


def test_the_whole_body_is_sent_when_it_is_large() -> None:
    data = b'{"model":"m","messages":[{"content":"%b"}]}' % (b"x" * SIZE)
    expected = json.loads(data) | {"model": "real"}
    assert json.loads(render(data)) == expected
