"""Who may ask the server: the names it answers to, the pages that may call it, and the token that lets someone in."""

import hashlib
import hmac
import ipaddress
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from ...core.errors import WorkflowError

#: A shorter token could be guessed.
SHORTEST_TOKEN = 16
_AUTHORITY = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::(?P<port>[0-9]{1,5}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


#: The host and port of a URL in one spelling: lower case, no dot at the end, addresses as Python writes them.
Authority = tuple[str, int]


def parse_authority(text: str, scheme: str) -> Authority | None:
    """Read `host[:port]`; None if it is not exactly that."""
    found = _AUTHORITY.fullmatch(text)
    if found is None:
        return None
    port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
    if not 0 < port < 65536:
        return None
    name = found["name"].lower().removesuffix(".")
    if name.startswith("["):
        address = _address(name[1:-1])
        return None if address is None or address.version != 6 else (f"[{address}]", port)
    return (name, port) if name else None


def parse_origin(text: str) -> tuple[str, Authority] | None:
    """Read an `Origin`: scheme and authority; None for `null` and all that is no web origin."""
    scheme, colon, rest = text.partition("://")
    scheme = scheme.lower()
    authority = parse_authority(rest, scheme) if colon and scheme in _DEFAULT_PORTS else None
    return None if authority is None else (scheme, authority)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens there; names other than `localhost` are not asked for."""
    address = _address(host.strip("[]"))
    return host.lower() == "localhost" if address is None else address.is_loopback


@dataclass(frozen=True)
class Access:
    """Who may ask a server.

    Attributes:
        host: The address it listens on.
        token: What a caller must know; None if every program of this machine may call.
        names: More names that a browser may call it by, as `--allow-host` gives them.
        made: Whether the token was made here and must be shown once.
    """

    host: str = "127.0.0.1"
    token: str | None = field(default=None, repr=False)
    names: frozenset[str] = frozenset()
    made: bool = False

    def answers_to(self, name: str) -> bool:
        """Whether a request for this host name is meant for us.

        A page of another site whose name was bound anew to our address still sends its own name. An address needs no
        name to be looked up, so it cannot be bound anew.
        """
        if name == "localhost" or name in self.names:
            return True
        address = _address(name.strip("[]"))
        if address is None:
            return name == self.host.lower()
        return address.is_loopback or not is_loopback(self.host)

    @property
    def cookie_name(self) -> str:
        """The cookie that stands for the token; cookies are shared between ports, so its name differs by token."""
        return "inlay-" + self._derived("name")[:12]

    @property
    def cookie(self) -> str:
        """What the cookie holds: not the token itself."""
        return self._derived("cookie")

    def _derived(self, use: str) -> str:
        return hmac.new((self.token or "").encode(), use.encode(), hashlib.sha256).hexdigest()

    def is_token(self, text: str) -> bool:
        """Whether this is the token, compared in constant time."""
        return self.token is not None and hmac.compare_digest(text.encode(), self.token.encode())

    def knows(self, authorization: list[str], cookies: list[str]) -> bool:
        """Whether `Authorization: Bearer …` or the cookie shows that the caller knows the token."""
        if self.token is None:
            return True
        if len(authorization) == 1:
            scheme, _, given = authorization[0].partition(" ")
            if scheme.lower() == "bearer" and self.is_token(given.strip()):
                return True
        pairs = (pair.strip().partition("=") for line in cookies for pair in line.split(";"))
        return any(
            name == self.cookie_name and hmac.compare_digest(value.encode(), self.cookie.encode())
            for name, _, value in pairs
        )

    def without_token(self, query: str) -> str | None:
        """The query without its token if it holds the right one, else None."""
        pairs = parse_qsl(query, keep_blank_values=True)
        if not any(name == "token" and self.is_token(value) for name, value in pairs):
            return None
        return urlencode([pair for pair in pairs if pair[0] != "token"])


def make_access(host: str = "127.0.0.1", token: str | None = None, names: tuple[str, ...] = ()) -> Access:
    """Who may ask a server on this address; what more than this machine can reach gets a token.

    Args:
        host: The address to listen on.
        token: The token to ask for; None makes one where one is needed.
        names: More names that it answers to.

    Raises:
        WorkflowError: If the token is too short or holds what a header cannot, or if a name is none.
    """
    if token is not None and not re.fullmatch(rf"[!-~]{{{SHORTEST_TOKEN},}}", token):
        raise WorkflowError.of(
            "--token",
            found=f"a token of {len(token)} characters",
            expected=f"at least {SHORTEST_TOKEN} letters, digits or signs of ASCII, without spaces",
            fix="leave --token away: a good one is then made and shown",
        )
    for name in names:
        read = parse_authority(name, "http")
        if read is None or ":" in name.strip("[]"):
            raise WorkflowError.of(
                "--allow-host",
                found=repr(name),
                expected="the name of one host, without port, scheme or `*`",
                fix="give each name by itself, as it stands in the address: --allow-host studio.lan",
            )
    needed = token is None and not is_loopback(host)
    return Access(
        host=host,
        token=secrets.token_urlsafe(32) if needed else token,
        names=frozenset(name.lower().removesuffix(".") for name in names),
        made=needed,
    )
