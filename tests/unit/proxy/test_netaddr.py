"""Addresses as Go reads and prints them."""

from __future__ import annotations

import pytest

from chaos_locust.proxy.netaddr import AddressError, bound, listen, resolve


def names(host):
    known = {"both": ["::1", "127.0.0.1"], "six": ["::1"]}
    if host not in known:
        raise OSError(host)
    return known[host]


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("127.0.0.1:http", "127.0.0.1:80"),
        ("127.0.0.1:", "127.0.0.1:0"),
        (":80", ":80"),
        ("", ":0"),
        ("[::1]:80", "[::1]:80"),
        ("[0:0::1]:80", "[::1]:80"),
        ("[::ffff:1.2.3.4]:80", "1.2.3.4:80"),
        ("both:80", "127.0.0.1:80"),
        ("six:80", "[::1]:80"),
    ],
)
def test_what_an_address_means(address, text):
    assert str(resolve(address, names)[0]) == text


def test_all_addresses_of_a_name_are_kept():
    assert [str(a) for a in resolve("both:1", names)] == ["127.0.0.1:1", "[::1]:1"]


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("80", "address 80: missing port in address"),
        ("127.0.0.1:99999", "address 99999: invalid port"),
        ("127.0.0.1:-1", "address -1: invalid port"),
        ("1:2:3", "address 1:2:3: too many colons in address"),
        ("[::1:80", "address [::1:80: missing ']' in address"),
        ("[::1]", "address [::1]: missing port in address"),
        ("[::1]:1:2", "address [::1]:1:2: too many colons in address"),
        ("a[b:1", "address a[b:1: unexpected '[' in address"),
        ("a]b:1", "address a]b:1: unexpected ']' in address"),
        ("x:no-such-service", "lookup tcp/no-such-service: unknown port"),
        ("nowhere:1", "lookup nowhere: no such host"),
        ("127.1:1", "lookup 127.1: no such host"),
    ],
)
def test_what_is_wrong_with_an_address(address, complaint):
    with pytest.raises(AddressError) as refused:
        resolve(address, names)
    assert str(refused.value) == complaint


def test_a_port_that_the_system_chooses_is_reported_and_cannot_be_taken_twice():
    with listen("127.0.0.1:0", names) as sock:
        address = bound(sock)
        assert address.startswith("127.0.0.1:")
        assert not address.endswith(":0")
        with pytest.raises(AddressError, match=f"^listen tcp {address}: bind: address already in use$"):
            listen(address, names)
