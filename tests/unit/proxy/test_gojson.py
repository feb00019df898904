"""JSON as Go reads and writes it. The differential test against the real server covers much more."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos_locust.proxy.errors import ApiError
from chaos_locust.proxy.gojson import Member, Scalar, Struct, decode, encode, float32
from chaos_locust.proxy.gojson_scan import GoJsonError, Node, quote_char, scan

SHAPE = Struct(
    "Thing",
    "pkg.Thing",
    {
        "name": Member(Scalar("string")),
        "on": Member(Scalar("bool")),
        "count": Member(Scalar("int64")),
        "share": Member(Scalar("float32")),
        "maybe": Member(Scalar("bool", nullable=True)),
        "inner": Member(Struct("Inner", "pkg.Inner", {"size": Member(Scalar("int"))})),
    },
)


def plain(node: Node):
    if node.kind == "object":
        return {key: plain(value) for key, value in node.members}
    if node.kind == "array":
        return [plain(item) for item in node.items]
    return node.text if node.kind == "string" else json.loads(node.text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 1]), st.booleans())
def test_every_json_value_is_read(value, indent, ascii_only):
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert plain(scan(text.encode("utf-8", "surrogatepass"))) == value


@given(st.binary())
def test_any_bytes_are_read_or_refused(data):
    with suppress(GoJsonError):
        assert isinstance(scan(data), Node)


@given(JSON, st.floats(0, 1))
def test_what_is_cut_off_is_refused(value, where):
    text = json.dumps([value]).encode()
    with pytest.raises(GoJsonError, match="unexpected EOF"):
        scan(text[: 1 + int(where * (len(text) - 2))])


def test_nesting_is_bounded_and_is_not_recursion():
    assert scan(b"[" * 10_000 + b"]" * 10_000).kind == "array"
    with pytest.raises(GoJsonError, match="exceeded max depth"):
        scan(b"[" * 10_001)


def test_what_follows_the_value_is_ignored():
    assert scan(b'{"a":1} garbage').kind == "object"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b'"\xff\xe2\x82"', "\ufffd\ufffd\ufffd"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\\ud800x"', "\ufffdx"),
        (b'"\\ud83d\x80"', "\ufffd\ufffd"),
    ],
)
def test_broken_characters_are_replaced_one_by_one(data, text):
    assert scan(data).text == text


@pytest.mark.parametrize(
    ("byte", "text"),
    [
        (ord("'"), r"'\''"),
        (ord('"'), "'\"'"),
        (0, r"'\x00'"),
        (9, r"'\t'"),
        (0x7F, r"'\x7f'"),
        (0x80, r"'\u0080'"),
        (0xE9, "'é'"),
    ],
)
def test_a_byte_in_an_error(byte, text):
    assert quote_char(byte) == text


def test_a_wrong_type_does_not_keep_the_rest_from_being_filled_in():
    target = {"name": "old", "count": 1, "inner": {"size": 1}}
    with pytest.raises(ApiError) as refused:
        decode(b'{"count":"x","name":"new","inner":{"size":2,"other":3},"on":7}', SHAPE, target)
    assert str(refused.value) == (
        "bad request body: json: cannot unmarshal string into Go struct field Thing.count of type int64"
    )
    assert target == {"name": "new", "count": 1, "inner": {"size": 2}, "on": {}}


@pytest.mark.parametrize(
    ("body", "filled"),
    [
        (b'{"NAME":"a"}', {"name": "a"}),
        (b'{"name":"exact","Name":"later"}', {"name": "later"}),
        ('{"\u212aount":1,"in\u017fide":2}'.encode(), {}),
        (b'{"name":null,"maybe":null}', {"name": "", "maybe": None}),
        (b"null", {}),
        (b'{"count":9223372036854775807}', {"count": 2**63 - 1}),
    ],
)
def test_members_are_found_as_by_go(body, filled):
    start = {"name": ""} if b"null," in body else {}
    assert decode(body, SHAPE, start) == filled


@pytest.mark.parametrize("number", ["9223372036854775808", "1.5", "1e3", "1" * 5000])
def test_a_number_that_does_not_fit(number):
    with pytest.raises(ApiError, match=f"cannot unmarshal number {number[:9]}.* of type int64"):
        decode(f'{{"count":{number}}}'.encode(), SHAPE, {})


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1", "1"), ("0.5", "0.5"), ("0.1", "0.1"), ("-0", "-0"), ("16777217", "16777216"), ("1e20",
        "100000000000000000000"),
        ("1e21", "1e+21"), ("1e-6", "0.000001"), ("1e-7", "1e-7"), ("1.25e-7", "1.25e-7"), ("1e-50", "0"),
        ("3.4028235e38", "3.4028235e+38"),
    ],
)  # fmt: skip
def test_float32_is_written_in_its_shortest_form(number, text):
    assert encode(float32(number)) == text


def test_float32_has_a_largest_value():
    assert float32("1e39") is None


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float32_survives_writing_and_reading(value):
    assert float32(encode(value)) == value


def test_html_characters_are_escaped():
    assert (
        encode({"<&>": '\u2028\x01\n"\\\x7fé'}) == '{"\\u003c\\u0026\\u003e":"\\u2028\\u0001\\n\\"\\\\\x7fé"}'
    )


@given(JSON.filter(lambda value: "." not in json.dumps(value) and "e" not in json.dumps(value)))
def test_what_is_written_means_the_same(value):
    assert json.loads(encode(value)) == value
