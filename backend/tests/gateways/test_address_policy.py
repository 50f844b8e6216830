"""Which addresses a tenant may name: read from the address alone."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.gateways.address_policy import AddressPolicy, is_public
from backend.tests.gateways.inside_addresses import ALL, WRITTEN


def test_there_are_a_hundred_payloads() -> None:
    assert len(set(ALL)) >= 100


@pytest.mark.parametrize("url", WRITTEN)
def test_what_is_written_for_the_inside_is_refused_with_a_reason(url: str) -> None:
    said = AddressPolicy().refusal(url)
    assert said is not None
    assert said.startswith("must ") or "no public address" in said or "not open to tools" in said


@pytest.mark.parametrize(
    "url",
    [
        "https://tools.example.com/mcp",
        "http://tools.example.com",
        "https://tools.example.com:443/mcp?key=1",
        "http://tools.example.com:80/",
        "https://8.8.8.8/mcp",
        "https://[2606:4700::1111]/mcp",
        "https://bücher.example/mcp",
        "https://xn--bcher-kva.example/mcp",
        "https://tools.example.com./mcp",
        "https://10.example.com/",
        "https://localhost.example.com/",
    ],
)
def test_public_addresses_may_be_tried(url: str) -> None:
    assert AddressPolicy().refusal(url) is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://tools.example.com/", "must be an http or https address"),
        ("https://u:p@tools.example.com/", "must not carry a user name or password"),
        ("https://tools.example.com:6333/", "port 6333 is not open to tools"),
        ("http://127.0.0.1:9000/mcp", "127.0.0.1 is no public address; the operator"),
        ("http://0x7f.1/", "NUMEN_TOOL_PRIVATE_HOSTS"),
    ],
)
def test_a_reason_says_what_to_change(url: str, told: str) -> None:
    assert told in (AddressPolicy().refusal(url) or "")


def test_a_list_of_hosts_is_all_there_is() -> None:
    policy = AddressPolicy(["tools.example.com", "Other.example:8443", "bücher.example"])
    allowed = (
        "https://tools.example.com/mcp",
        "https://TOOLS.example.com./mcp",
        "https://other.example/mcp",
        "https://other.example:8443/mcp",
        "https://xn--bcher-kva.example/",
    )
    assert [policy.refusal(url) for url in allowed] == [None] * len(allowed)
    for url in ("https://example.com/", "https://a.tools.example.com/", "https://tools.example.com.evil.example/"):
        assert "not among the hosts" in (policy.refusal(url) or "")
    assert "port 8443" in (policy.refusal("https://tools.example.com:8443/") or "")


def test_a_listed_host_is_not_private_by_that() -> None:
    policy = AddressPolicy(["127.0.0.1", "localhost:8080"])
    assert "no public address" in (policy.refusal("http://127.0.0.1/") or "")
    assert "no public address" in (policy.refusal("http://localhost:8080/") or "")
    assert not policy.may_dial("localhost", 8080, "127.0.0.1")


def test_a_private_host_is_open_at_its_port_and_as_it_is_written() -> None:
    policy = AddressPolicy(private_hosts=["10.0.0.5:8080", "tools.internal:80", "[::1]:9000"])
    for url in ("http://10.0.0.5:8080/mcp", "http://tools.internal/mcp", "http://[::1]:9000/"):
        assert policy.refusal(url) is None
    for url in ("http://10.0.0.5/", "http://10.0.0.6:8080/", "http://0xa.0.0.5:8080/", "https://tools.internal/"):
        assert policy.refusal(url) is not None
    assert policy.may_dial("tools.internal", 80, "10.1.2.3")
    assert not policy.may_dial("tools.internal", 443, "10.1.2.3")
    assert not policy.may_dial("other.internal", 80, "10.1.2.3")


def test_private_hosts_are_allowed_besides_a_list_of_hosts() -> None:
    policy = AddressPolicy(["tools.example.com"], ["10.0.0.5:8080"])
    assert policy.refusal("http://10.0.0.5:8080/") is None
    assert policy.refusal("https://other.example/") is not None


@given(st.ip_addresses())
def test_no_address_is_public_that_carries_a_private_one(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(str(ip)):
        assert ip.is_global
        assert not ip.is_multicast
    if isinstance(ip, ipaddress.IPv4Address) and not is_public(str(ip)):
        number = int(ip)
        for carried in (number | 0xFFFF << 32, number | 0x64FF9B << 96, (0x2002 << 112) | (number << 80)):
            assert not is_public(str(ipaddress.IPv6Address(carried)))


@given(st.text(max_size=60))
def test_any_text_has_an_answer(text: str) -> None:
    for url in (f"http://{text}/", f"https://{text}.example.com/", text):
        said = AddressPolicy().refusal(url)
        assert said is None or len(said) < 300
